"""Fetches a catalog: one definition, an archive of them, or a git repository."""

from __future__ import annotations

import io
import tarfile
import time
from typing import TYPE_CHECKING

from vagrantish.box import catalog_git, releases
from vagrantish.box.catalog_shelf import DEFINITIONS_MAX, TOTAL_MAX, chosen, keep
from vagrantish.box.fields import FILE_NAME, SIZE_MAX
from vagrantish.errors import BoxError, FetchError
from vagrantish.formats import sniff, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.box.catalog_shelf import Kept
    from vagrantish.events import Op
    from vagrantish.model import CatalogSource
    from vagrantish.paths import VxHome

DOWNLOAD_MAX = 16 << 20
UNPACKED_MAX = 64 << 20
_MEMBERS_MAX = 100_000
_CHUNK = 1 << 16


def refresh(home: VxHome, source: CatalogSource, *, op: Op) -> Kept:
    """Fetch the catalog, whole or not at all: after a failure the one that was kept stays.

    Raises FetchError, BoxError, HostError, Cancelled.
    """
    if op.offline:
        raise FetchError(
            f"the catalog {source.text} cannot be fetched: vx is offline",
            hint="Run the same command without --offline (VX_OFFLINE).",
        )
    with op.step("catalog", f"Fetching the catalog {source.text}") as step:
        if source.kind == "git":
            found = catalog_git.definitions(home, source, op=op)
        else:
            found = definitions(_download(source.location, op), source.text)
        kept = keep(home, source, found, fetched_at=time.time())
        step.outcome = f"{len(kept.texts)} boxes"
    return kept


def _download(url: str, op: Op) -> bytes:
    from vagrantish.fetch.promise import small
    from vagrantish.fetch.transport import Transport

    transport = Transport()
    try:
        return small(url, DOWNLOAD_MAX, transport, op)[0]
    finally:
        transport.close()


def definitions(data: bytes, label: str) -> dict[str, bytes]:
    """The box.toml of each box in a download, by the box's name. Raises BoxError."""
    head = data[: sniff.HEAD_BYTES]
    if head[257:262] == b"ustar" or unpack.is_compressed(head):
        return _in_tar(data, label)
    try:
        text = data.decode()
        if "\0" in text:
            raise ValueError
    except ValueError as error:
        raise BoxError(
            f"the catalog {label} is {sniff.describe(head)}",
            hint=f"A catalog is a {FILE_NAME}, or a .tar.gz of folders that each hold one.",
        ) from error
    if head.lstrip()[:1] == b"<":
        raise BoxError(f"the catalog {label} is {sniff.describe(head)}", hint="Check its address.")
    found = releases.parse(text, source=label) if len(data) <= SIZE_MAX else None
    if found is None:
        raise BoxError(
            f"the {FILE_NAME} at {label} is of a single packed box, or too big",
            hint="Fetch the box itself, then run `vx box add` on it.",
        )
    return {found.name: data}


def _in_tar(data: bytes, label: str) -> dict[str, bytes]:
    try:
        found = dict(_members(_unpacked(data, label), label))
    except (tarfile.TarError, unpack.UnpackError, EOFError, ValueError, OverflowError) as error:
        raise BoxError(f"the catalog {label} is a damaged archive: {error}") from error
    return {name: found[path] for name, path in chosen(found).items()}


def _unpacked(data: bytes, label: str) -> bytes:
    if not unpack.is_compressed(data[: sniff.HEAD_BYTES]):
        return data
    stream = unpack.Unpacked(io.BytesIO(data))
    out = bytearray()
    while piece := stream.read(_CHUNK):
        out += piece
        if len(out) > UNPACKED_MAX:
            raise BoxError(f"the catalog {label} unpacks to more than {UNPACKED_MAX >> 20} MiB")
    return bytes(out)


def _members(data: bytes, label: str) -> Iterator[tuple[str, bytes]]:
    """Path and content of every file that may be a definition."""
    total = count = 0
    seen: set[str] = set()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", errorlevel=2) as tar:
        while (member := tar.next()) is not None:
            count += 1
            if member.size < 0 or count > _MEMBERS_MAX:  # tarfile would go back, and for ever on
                raise BoxError(f"the catalog {label} has a member too many, or of no size")
            path = "/".join(part for part in member.name.split("/") if part != ".")
            if not member.isreg() or member.issparse() or path.rpartition("/")[2] != FILE_NAME:
                continue
            total += min(member.size, SIZE_MAX + 1)
            if total > TOTAL_MAX or len(seen) > 2 * DEFINITIONS_MAX:
                raise BoxError(f"the catalog {label} is too big")
            if path in seen:
                raise BoxError(f"the catalog {label} holds {path[:200]!r} twice")
            seen.add(path)
            file = tar.extractfile(member)
            assert file is not None  # it is a regular file
            content = file.read(min(member.size, SIZE_MAX + 1))
            if len(content) < min(member.size, SIZE_MAX + 1):
                raise EOFError("it is cut short")
            yield path, content
