"""A Vagrant catalog's JSON: the versions of a box, and which file of them to take. Pure.

Shape: lib/vagrant/box_metadata.rb of Vagrant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vagrantish.box import reference, versions
from vagrantish.box.fields import shown
from vagrantish.box.vagrantbox import PROVIDERS, VagrantError, arch_of, check_provider, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.model import Digest

SIZE_MAX = 20 << 20  # as Vagrant has it
_LISTED_MAX = 12
_PROVIDERS_MAX = 10_000
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]+)*")  # others are of a time before their release


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One file of a version of the box."""

    version: str
    provider: str
    arch: str  # "" when the catalog does not say
    default: bool  # the one to take where it does not say
    url: str
    digest: Digest | None
    weak: str  # the checksum it has instead: "md5"


@dataclass(frozen=True, kw_only=True)
class Catalog:
    name: str  # "generic-debian12"; "" when it has none that a box can have
    description: str
    offers: tuple[Offer, ...]


def parse(data: bytes) -> Catalog:
    """Raises VagrantError when it is no catalog."""
    if len(data) > SIZE_MAX:
        raise VagrantError(f"it is bigger than a catalog may be ({SIZE_MAX >> 20} MiB)")
    table = parse_json(data, "it")
    entries = table.get("versions")
    if not isinstance(entries, list):
        raise VagrantError('it has no "versions", which a catalog of Vagrant\'s has')
    offers = []
    for offer in _offers(entries):
        offers.append(offer)
        if len(offers) > _PROVIDERS_MAX:
            raise VagrantError(f"it offers more than {_PROVIDERS_MAX} files")
    return Catalog(
        name=_name(table.get("name")),
        description=_description(table),
        offers=tuple(offers),
    )


def choose(catalog: Catalog, *, version: str | None, provider: str | None, arch: str) -> Offer:
    """The newest that fits. Raises VagrantError that says what there is."""
    if provider is not None:
        check_provider(provider)
    offers = catalog.offers
    if not offers:
        raise VagrantError("it offers nothing: no version of it is active")
    mine = [offer for offer in offers if offer.provider in ([provider] if provider else PROVIDERS)]
    if not mine:
        there = ", ".join(sorted({shown(offer.provider) for offer in offers})[:_LISTED_MAX])
        raise VagrantError(
            f"it has the box for {there}, not for {provider or ', '.join(PROVIDERS)}"
        )
    fitting = [offer for offer in mine if offer.arch == arch]
    fitting = fitting or [offer for offer in mine if not offer.arch]
    if not fitting:
        there = ", ".join(sorted({shown(offer.arch) for offer in mine})[:_LISTED_MAX])
        raise VagrantError(f"it has the box for {there}, not for {arch}")
    known = {offer.version for offer in fitting}
    plain = {found for found in known if _PLAIN.fullmatch(found)}
    newest = versions.newest(plain, version or "")
    if newest is None and version is not None:
        newest = versions.newest(known, version)
    if newest is None:
        there = ", ".join(shown(v) for v in sorted(known, key=versions.key)[-_LISTED_MAX:][::-1])
        raise VagrantError(f"it has no version {version or 'that is released'}: it has {there}")
    best = [offer for offer in fitting if offer.version == newest]
    return min(best, key=lambda offer: (PROVIDERS.index(offer.provider), not offer.default))


def _offers(entries: list[Any]) -> Iterator[Offer]:
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("status", "active") != "active":
            continue
        version, providers = entry.get("version"), entry.get("providers")
        if isinstance(version, str) and _is_version(version) and isinstance(providers, list):
            for item in providers:
                offer = _offer(version, item) if isinstance(item, dict) else None
                if offer is not None:
                    yield offer


def _offer(version: str, item: dict[str, Any]) -> Offer | None:
    provider, url = item.get("name"), item.get("url")
    if not isinstance(provider, str) or not isinstance(url, str) or not url:
        return None
    digest, weak = _checksum(item)
    return Offer(
        version=version,
        provider=provider,
        arch=arch_of(item.get("architecture")),
        default=item.get("default_architecture") is True,
        url=url,
        digest=digest,
        weak=weak,
    )


def _checksum(item: dict[str, Any]) -> tuple[Digest | None, str]:
    """The digest, or the kind of one that proves too little."""
    kind, value = item.get("checksum_type"), item.get("checksum")
    if not isinstance(kind, str) or not isinstance(value, str) or not value.strip():
        return None, ""
    kind = kind.lower().replace("-", "")
    if kind not in ("sha256", "sha512"):
        return None, shown(kind) or "checksum of no named kind"
    try:
        return reference.parse_digest(f"{kind}:{value.strip()}"), ""
    except ValueError as error:
        raise VagrantError(f"it has a checksum that is none: {error}") from error


def _is_version(text: str) -> bool:
    try:
        reference.check_version(text)
    except ValueError:
        return False
    return True


def _name(said: object) -> str:
    """``user/box`` → ``user-box``."""
    name = (
        re.sub(r"[^a-z0-9._-]+", "-", said.lower()).strip("-._")[:64]
        if isinstance(said, str)
        else ""
    )
    try:
        reference.check_name(name)
    except ValueError:
        return ""
    return name


def _description(table: dict[str, Any]) -> str:
    said = table.get("short_description") or table.get("description")
    return shown(said.strip().partition("\n")[0]) if isinstance(said, str) else ""
