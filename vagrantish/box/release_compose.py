"""One version for one architecture, put together from the levels of its definition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

from vagrantish.box import reference
from vagrantish.box.fields import CMDLINE_MAX, CPU_LEVELS
from vagrantish.box.release_levels import merged
from vagrantish.box.release_words import TemplateError, fill
from vagrantish.model import (
    ArtifactKind,
    BootMode,
    Check,
    Part,
    Release,
    Remote,
    RootKind,
    SeedKind,
)
from vagrantish.urls import is_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class ComposeError(ValueError):
    """Levels that give no whole; the text is fit for the user."""


def compose(
    table: dict[str, Any], *, name: str, line: str, build: str | None, arch: str, description: str
) -> Release:
    """``table`` is all levels in one. Without a build it is what a file of the user's own is
    booted with: a Release that names no files, its version the line's. Raises ComposeError.
    """
    version = line if build is None else f"{line}.{build}"
    words = {
        "name": name, "arch": arch, "release": line, "major": line.partition(".")[0],
        "build": build or "", "version": version, "console": table.get("console", "ttyS0"),
        **table.get("words", {}),
    }  # fmt: skip
    try:
        parts = {} if build is None else _parts(table, words, arch)
        extensions = {} if build is None else _extensions(table.get("extensions", {}), words)
        cmdline = fill(table.get("cmdline", ""), words)
    except TemplateError as error:
        raise ComposeError(f"a text {error}") from error
    if len(cmdline) > CMDLINE_MAX:
        raise ComposeError(f"the command line has {len(cmdline)} characters")
    release = Release(
        name=name,
        version=version,
        arch=arch,
        parts=parts,
        extensions=extensions,
        disk_boots=table.get("disk_boots", False),
        cmdline=cmdline,
        user=table.get("user", "root"),
        seed=SeedKind(table.get("seed", SeedKind.NONE)),
        root=RootKind(table.get("root", RootKind.RAM)),
        console=words["console"],
        # The levels are those of x86-64; other processors have none here.
        cpu_level=table.get("cpu_level", CPU_LEVELS[0]) if arch == "x86_64" else CPU_LEVELS[0],
        description=description,
        defaults=table.get("defaults", {}),
        boot=BootMode(table.get("boot", BootMode.KERNEL)),
    )
    if build is not None:
        _check_whole(release)
    return release


def _check_whole(release: Release) -> None:
    parts = release.parts
    if not parts:
        raise ComposeError("it has no files: write a [disk], or a [kernel] and its [initrd]")
    by_kernel = release.boot is BootMode.KERNEL
    if not by_kernel:
        _check_boot(release)
    if release.disk_boots and ArtifactKind.DISK not in parts:
        raise ComposeError("disk_boots needs a [disk]")
    if by_kernel and not release.disk_boots and ArtifactKind.KERNEL not in parts:
        raise ComposeError("it has no [kernel]: write one, or disk_boots = true")
    if release.root is RootKind.DISK and ArtifactKind.DISK not in parts:
        raise ComposeError('root = "disk" needs a [disk]')
    overlays = (SeedKind.OVERLAY, SeedKind.TINYCORE)
    if release.seed in overlays and ArtifactKind.INITRD not in parts and not release.disk_boots:
        raise ComposeError(f'seed = "{release.seed}" needs an [initrd] to add to')
    _check_apart(release)
    _check_private(release)


def _check_boot(release: Release) -> None:
    told = f'boot = "{release.boot}"'
    if ArtifactKind.DISK not in release.parts:
        raise ComposeError(f"{told} needs a [disk]")
    if release.disk_boots or len(release.parts) > 1:
        raise ComposeError(f"{told} takes no kernel and no initrd, nor disk_boots")
    if release.seed in (SeedKind.OVERLAY, SeedKind.TINYCORE):
        raise ComposeError(f'seed = "{release.seed}" adds to an initrd, which {told} has not')


def _parts(table: dict[str, Any], words: Mapping[str, str], arch: str) -> dict[ArtifactKind, Part]:
    kinds = [kind for kind in ArtifactKind if kind in table]
    promise: dict[str, Any] = {key: table[key] for key in ("digest", "size") if key in table}
    if any(key in table[kind] for key in promise for kind in kinds):
        raise ComposeError(f"{arch} has a digest or size, and so has a part of it")
    shared = merged(table.get("file", {}), promise)
    parts = {kind: _part(kind, merged(shared, table[kind]), words) for kind in kinds}
    if promise and len({part.remote.urls for part in parts.values()}) > 1:
        raise ComposeError(
            f'{arch} has several files: write each one\'s own, as in "disk.digest = …"'
        )
    return parts


def _part(kind: ArtifactKind, table: dict[str, Any], words: Mapping[str, str]) -> Part:
    if "url" not in table:
        raise ComposeError(f"[{kind}] has no url")
    url = fill(table["url"], words)
    words = {**words, "file": _file_name(url)}
    remote = Remote(
        urls=_urls(url, table.get("mirrors", ()), words),
        digest=reference.parse_digest(table["digest"]) if "digest" in table else None,
        size_bytes=table.get("size"),
        check=_check(table["check"], url, words) if table.get("check") else None,
    )
    return Part(remote=remote, member=fill(table.get("member", ""), words))


def _urls(url: str, mirrors: Sequence[str], words: Mapping[str, str]) -> tuple[str, ...]:
    urls = (url, *(fill(mirror, words) for mirror in mirrors))
    for each in urls:
        _file_name(each)
    return tuple(dict.fromkeys(urls))


def _check(table: dict[str, Any], url: str, words: Mapping[str, str]) -> Check:
    keys = tuple(key.upper() for key in table.get("keys", ()))
    sums, signature = (
        _beside(url, fill(table[key], words)) if table.get(key) else ""
        for key in ("sums", "signature")
    )
    signed = table.get("signed", "sums" if signature or keys else "")
    if signed and not keys:
        raise ComposeError("what is signed is checked with keys: write their fingerprints")
    if signed == "file" and not signature:
        raise ComposeError('signed = "file" needs a signature')
    if not sums and signed != "file":
        raise ComposeError("a check needs sums, or a signature of the file itself")
    name = fill(table.get("name", "{file}"), words)
    return Check(sums_url=sums, name=name, signature_url=signature, signed=signed, keys=keys)


def _beside(url: str, link: str) -> str:
    try:
        whole = urljoin(url, link)
    except ValueError as error:
        raise ComposeError(f"{link} is no address ({error})") from error
    _file_name(whole)
    return whole


def _extensions(table: dict[str, Any], words: Mapping[str, str]) -> dict[str, Remote]:
    names, digests = table.get("names", ()), table.get("digests", {})
    if names and "url" not in table:
        raise ComposeError("[extensions] has no url")
    strangers = [name for name in digests if name not in names]
    if strangers:
        raise ComposeError(f'[extensions] has a digest of "{strangers[0]}", which it does not name')
    found: dict[str, Remote] = {}
    for name in names:
        url = fill(table["url"], {**words, "extension": name})
        file = _file_name(url)
        digest = reference.parse_digest(digests[name]) if name in digests else None
        mirrors = table.get("mirrors", ())
        urls = _urls(url, mirrors, {**words, "extension": name, "file": file})
        found[name] = Remote(urls=urls, digest=digest)
    return found


def _check_apart(release: Release) -> None:
    parts = [(part.remote.urls[0], part.member) for part in release.parts.values()]
    extensions = [(remote.urls[0], "") for remote in release.extensions.values()]
    seen: set[tuple[str, str]] = set()
    for url, member in (*parts, *extensions):
        if (url, member) in seen:
            raise ComposeError(f"{f'{member} in {url}' if member else url} is two of its files")
        seen.add((url, member))


def _check_private(release: Release) -> None:
    """Nothing but the way it comes vouches for a file without a digest: that must be closed."""
    remotes: Iterable[Remote] = (
        *(part.remote for part in release.parts.values()), *release.extensions.values()
    )  # fmt: skip
    for remote in remotes:
        links = () if remote.digest else remote.urls
        if not remote.digest and remote.check and not remote.check.signed:
            links = (*links, remote.check.sums_url)
        for url in links:
            if not is_private(url):
                raise ComposeError(f"{url} is plain http: give its digest, or an https address")


def _file_name(url: str) -> str:
    """The last part of the URL's path. Raises ComposeError for a URL without one."""
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ComposeError(f"{url} is no address ({error})") from error
    name = unquote(parts.path.rpartition("/")[2])
    if not parts.hostname or not name or not port_is_fine or parts.username is not None:
        raise ComposeError(f"{url} does not name a file on a host")
    return name
