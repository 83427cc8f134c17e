"""A file or folder on the host as a list of entries, and as a tar stream."""

from __future__ import annotations

import os
import stat
import tarfile
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from vagrantish.errors import TransferError
from vagrantish.files import host_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

CHUNK = 1 << 18
_BLOCK = 512


class Kind(StrEnum):
    FILE = "file"
    FOLDER = "folder"
    LINK = "link"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing in a tree. ``name`` is relative, with slashes; "." is the root."""

    name: str
    kind: Kind
    mode: int  # permission bits only: no set-user-id and the like
    size_bytes: int = 0
    source: Path | None = None  # where a file's bytes are,
    data: bytes | None = None  # or those bytes themselves
    target: str = ""  # what a link points to
    modified: int = 0  # seconds since 1970


@dataclass(frozen=True, kw_only=True)
class Tree:
    entries: tuple[Entry, ...]  # the root first, a folder before what is in it
    left_out: tuple[str, ...]  # what cannot be copied, and why, in words

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.entries)


def tree_of(root: Path) -> Tree:
    """What is at ``root``: a file, or a folder with all below it, in the order of names.

    ``root`` itself may be a link and is followed. Raises TransferError, HostError.
    """
    entries: list[Entry] = []
    left_out: list[str] = []

    def add(path: Path, name: str, *, follow: bool = False) -> None:
        info = os.stat(path, follow_symlinks=follow)
        mode, modified = info.st_mode & 0o777, int(info.st_mtime)
        if stat.S_ISDIR(info.st_mode):
            entries.append(Entry(name=name, kind=Kind.FOLDER, mode=mode, modified=modified))
            for child in sorted(os.listdir(path)):
                add(path / child, child if name == "." else f"{name}/{child}")
        elif stat.S_ISREG(info.st_mode):
            entries.append(
                Entry(
                    name=name,
                    kind=Kind.FILE,
                    mode=mode,
                    size_bytes=info.st_size,
                    source=path,
                    modified=modified,
                )
            )
        elif stat.S_ISLNK(info.st_mode):
            target = os.readlink(path)
            if stays_inside(name, target):
                entries.append(
                    Entry(name=name, kind=Kind.LINK, mode=0o777, target=target, modified=modified)
                )
            else:
                left_out.append(f"{name} is a link that leads out of the folder, to {target}")
        else:
            left_out.append(f"{name} is neither a file nor a folder nor a link")

    if not root.exists():
        raise TransferError(f"{root} does not exist", hint="Check the path.")
    with host_errors(f"read {root}"):
        add(root, ".", follow=True)
    if not entries:
        raise TransferError(f"{root} is neither a file nor a folder")
    return Tree(entries=tuple(entries), left_out=tuple(left_out))


def stays_inside(name: str, target: str) -> bool:
    """Whether a link called ``name`` with this target cannot lead out of its tree.

    ``..`` may only stand at the start: after a folder's name, which may itself be a link, nobody
    can say where it leads.
    """
    parts = [part for part in target.split("/") if part not in ("", ".")]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == "..":
        climbs += 1
    depth = name.count("/")
    return bool(target) and target[0] != "/" and climbs <= depth and ".." not in parts[climbs:]


def tar_stream(
    entries: Iterable[Entry], *, end: str, sent: Callable[[int], object] | None = None
) -> Iterator[bytes]:
    """A GNU tar archive, the one form that both GNU tar and busybox read with any name.

    Its last member is the empty file ``end``: found after unpacking, it says that nothing is
    missing. ``sent`` hears how many bytes of files have gone. Raises TransferError, HostError.
    """
    total = 0
    for entry in entries:
        yield _header(entry)
        if entry.data is not None:
            yield entry.data + bytes(-len(entry.data) % _BLOCK)
            total += len(entry.data)
            if sent is not None:
                sent(total)
            continue
        if entry.source is None:
            continue
        with host_errors(f"read {entry.source}"), entry.source.open("rb") as file:
            left = entry.size_bytes
            while left:
                chunk = file.read(min(left, CHUNK))
                if not chunk:
                    raise TransferError(
                        f"{entry.source} became shorter while it was copied",
                        hint="Try again when nothing writes to it.",
                    )
                left -= len(chunk)
                yield chunk
                total += len(chunk)
                if sent is not None:
                    sent(total)
        yield bytes(-entry.size_bytes % _BLOCK)
    yield _header(Entry(name=end, kind=Kind.FILE, mode=0o600))
    yield bytes(2 * _BLOCK)


def _header(entry: Entry) -> bytes:
    # "./" in front: a name must not look like an option to anybody.
    info = tarfile.TarInfo("./" if entry.name == "." else f"./{entry.name}")
    info.mode = entry.mode
    info.size = entry.size_bytes if entry.data is None else len(entry.data)
    info.mtime = max(0, entry.modified)
    if entry.kind is Kind.FOLDER:
        info.type = tarfile.DIRTYPE
        info.mode |= 0o700  # else not every tar can fill it
    elif entry.kind is Kind.LINK:
        info.type = tarfile.SYMTYPE
        info.linkname = entry.target
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
