"""Finds a file's digest in a list of checksums, in any of the dialects publishers use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vagrantish.fetch.catalogs import entries_of_json, entries_of_yaml
from vagrantish.model import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TEXT_MAX = 1 << 20
JSON_MAX = 20 << 20  # a simplestreams catalog has a few megabytes

_HEX_DIGITS = {"sha256": 64, "sha512": 128}
_BY_LENGTH = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}

_BSD = re.compile(r"([A-Za-z0-9][A-Za-z0-9/-]*) ?\((.+)\) ?= ?([0-9A-Fa-f]+)")
_GNU = re.compile(r"([0-9A-Fa-f]{32,})(?: [ *]|[ \t]+)(.+)")
_BARE = re.compile(r"([0-9A-Fa-f]{32,})(?:\s+\*?-)?")
_SECTION = re.compile(r"#\s*([A-Za-z0-9-]+)\s+HASH")
_NAMED = re.compile(
    r"(?<![a-z0-9])(md5|sha-?1|sha-?224|sha-?256|sha-?384|sha-?512)(?=sums?\b|[^0-9]|$)"
)
_ENVELOPE = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"


class ChecksumError(ValueError):
    """The list says nothing that can be believed; the text goes on from "the checksums ": what."""


def find(text: bytes, name: str, *, source: str = "") -> Digest:
    """The sha256, else the sha512, that ``text`` gives for the file ``name``.

    ``source`` is the list's own file name: it may tell the algorithm ("SHA256SUMS", "x.sha512").
    Names are compared to the letter, without the folders before them unless ``name`` has some.
    """
    if len(text) > JSON_MAX:
        raise ChecksumError("are too long to be a list")
    is_json = text.lstrip()[:1] in (b"{", b"[")
    if not is_json and len(text) > TEXT_MAX:
        raise ChecksumError("are too long to be a list")
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        raise ChecksumError("are not text") from None
    if is_json:
        return _choose(_of_entries(entries_of_json(decoded), name), name)
    if source.lower().endswith((".yaml", ".yml")):
        return _choose(_of_entries(entries_of_yaml(decoded), name), name)
    lines = _signed_lines(decoded) if _ENVELOPE in decoded else decoded.splitlines()
    return _choose(_of_lines(lines, name, _algorithm_of(source)), name)


def _choose(found: Iterable[tuple[str, str]], name: str) -> Digest:
    """``found``: algorithm and hex, for this very file."""
    digests: dict[str, str] = {}
    for algorithm, value in found:
        if digests.setdefault(algorithm, value) != value:
            raise ChecksumError(f"give two different {algorithm} values for {name}")
    for algorithm in _HEX_DIGITS:
        if algorithm in digests:
            return Digest(algorithm=algorithm, hex=digests[algorithm])
    if digests:
        raise ChecksumError(
            f"say only the {'/'.join(sorted(digests))} of {name}, which is too weak"
        )
    raise ChecksumError(f"do not list {name}")


def _of_entries(entries: Iterable[tuple[str, str, str]], name: str) -> Iterator[tuple[str, str]]:
    for theirs, algorithm, value in entries:
        if _is(theirs, name):
            if len(value) != _HEX_DIGITS[algorithm] or not re.fullmatch(r"[0-9a-f]+", value):
                raise ChecksumError(f"give for {name} a {algorithm} that is none")
            yield algorithm, value


def _of_lines(lines: Iterable[str], name: str, hinted: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in lines:
        line = line.rstrip("\r")
        if line.startswith("\\"):
            raise ChecksumError("have an escaped file name, which vx does not read")
        if heading := _SECTION.fullmatch(line.strip()):
            section = _plain(heading[1])
        elif bsd := _BSD.fullmatch(line):
            if _is(bsd[2], name):
                yield _checked(_plain(bsd[1]), bsd[3], name)
        elif (bare := _BARE.fullmatch(line.strip())) and hinted:
            yield _checked(hinted, bare[1], name)
        elif (gnu := _GNU.fullmatch(line)) and _is(gnu[2], name):
            yield _checked(section or hinted or _unsaid(gnu[1]), gnu[1], name)


def _checked(algorithm: str, value: str, name: str) -> tuple[str, str]:
    wanted = _HEX_DIGITS.get(algorithm)
    if wanted is not None and len(value) != wanted:
        raise ChecksumError(
            f"give for {name} a {algorithm} of {len(value)} digits instead of {wanted}"
        )
    return algorithm, value.lower()


def _unsaid(value: str) -> str:
    """For lists that never name their algorithm (AlmaLinux's CHECKSUM).

    A wrong guess does no harm: no file has a sha256 that equals another sum of it.
    """
    return _BY_LENGTH.get(len(value), "unknown sum")


def _is(theirs: str, name: str) -> bool:
    theirs = theirs.removeprefix("./")
    return theirs == name or ("/" not in name and theirs.rpartition("/")[2] == name)


def _algorithm_of(source: str) -> str:
    """``"x.qcow2.SHA512"`` → ``"sha512"``; "" when the name does not say."""
    named = _NAMED.findall(source.lower())
    return _plain(named[-1]) if named else ""


def _plain(algorithm: str) -> str:
    return algorithm.lower().replace("sha-", "sha")


def _signed_lines(text: str) -> Iterator[str]:
    """What a clear-signed text says; lines outside the envelope are nobody's word (RFC 9580, 7)."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.rstrip() == _ENVELOPE:
            break
    for line in lines:
        if not line.strip():
            break
    for line in lines:
        if line.rstrip() == _SIGNATURE:
            return
        yield line.removeprefix("- ")
    raise ChecksumError("have a signature that is cut short")
