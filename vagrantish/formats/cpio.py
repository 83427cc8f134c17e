"""cpio archives of the newc kind, the only one the kernel unpacks as an initramfs.

Format and rules: Documentation/driver-api/early-userspace/buffer-format.rst and init/initramfs.c
of the Linux kernel.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Protocol

    class Readable(Protocol):
        def read(self, size: int, /) -> bytes: ...


MAGICS = (b"070701", b"070702")
TRAILER = "TRAILER!!!"
HEADER_LENGTH = 110
_NAME_MAX = 4096  # the kernel's PATH_MAX: it stops at longer names
_SKIP_CHUNK = 1 << 20


class CpioError(ValueError):
    """Not a whole newc archive; the text is fit for the user."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One member; ``mode`` holds the file type too, ``data`` a link's target."""

    name: str  # relative, without "./"
    mode: int
    data: bytes = b""
    uid: int = 0
    gid: int = 0
    rdev: tuple[int, int] = (0, 0)


def directory(name: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Entry:
    return Entry(name=name, mode=stat.S_IFDIR | mode, uid=uid, gid=gid)


def file(name: str, data: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Entry:
    return Entry(name=name, mode=stat.S_IFREG | mode, data=data, uid=uid, gid=gid)


def symlink(name: str, target: str) -> Entry:
    return Entry(name=name, mode=stat.S_IFLNK | 0o777, data=target.encode())


def char_device(name: str, major: int, minor: int, *, mode: int = 0o600) -> Entry:
    return Entry(name=name, mode=stat.S_IFCHR | mode, rdev=(major, minor))


def with_parents(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries with every folder above them put before its first use.

    The kernel makes no parents: a file whose folder is missing is lost without a word.
    """
    listed = tuple(entries)
    own = {entry.name: entry for entry in listed}
    done: dict[str, Entry] = {}
    for entry in listed:
        parts = entry.name.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            done.setdefault(parent, own.get(parent) or directory(parent))
        done.setdefault(entry.name, entry)
    return tuple(done.values())


def archive(entries: Iterable[Entry]) -> bytes:
    """The entries as one archive, its length a multiple of 4.

    Same entries, same bytes: times are 0 and inode numbers count up.
    """
    chunks: list[bytes] = []
    for number, entry in enumerate(entries, start=1):
        chunks.extend(_member(entry, number))
    chunks.extend(_member(Entry(name=TRAILER, mode=0), 0))
    return b"".join(chunks)


def _member(entry: Entry, inode: int) -> Iterator[bytes]:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (
        inode, entry.mode, entry.uid, entry.gid, links, 0, len(entry.data),
        0, 0, *entry.rdev, len(name), 0,
    )  # fmt: skip
    yield b"070701" + b"".join(b"%08X" % field for field in fields)
    yield name + _padding(HEADER_LENGTH + len(name))
    yield entry.data + _padding(len(entry.data))


def _padding(length: int) -> bytes:
    return b"\0" * (-length % 4)


def walk(stream: Readable) -> Iterator[Entry]:
    """The members of the one archive that starts here, without their data.

    Stops right after the trailer. Memory is bounded whatever the archive claims. Raises CpioError
    when it is cut short or damaged.
    """
    while True:
        header = _exactly(stream, HEADER_LENGTH)
        if header[:6] not in MAGICS:
            raise CpioError(f"a member starts with {header[:6]!r} in place of a cpio header")
        try:
            fields = [int(header[at : at + 8], 16) for at in range(6, HEADER_LENGTH, 8)]
        except ValueError:
            raise CpioError("a member's header is damaged") from None
        name_size, data_size = fields[11], fields[6]
        if not 1 <= name_size <= _NAME_MAX:
            raise CpioError(f"a member claims a name of {name_size} bytes")
        raw_name = _exactly(stream, name_size + (-(HEADER_LENGTH + name_size) % 4))
        name = raw_name[: name_size - 1].decode("utf-8", "replace")
        _skip(stream, data_size + (-data_size % 4))
        if name == TRAILER:
            return
        yield Entry(
            name=name, mode=fields[1], uid=fields[2], gid=fields[3], rdev=(fields[9], fields[10])
        )


def _exactly(stream: Readable, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = stream.read(size - len(data))
        if not chunk:
            raise CpioError("it ends in the middle of an archive")
        data += chunk
    return data


def _skip(stream: Readable, size: int) -> None:
    while size > 0:
        chunk = stream.read(min(size, _SKIP_CHUNK))
        if not chunk:
            raise CpioError("it ends in the middle of a file")
        size -= len(chunk)
