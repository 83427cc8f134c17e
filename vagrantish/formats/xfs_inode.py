"""Inodes of XFS: what they are, and which blocks hold their data.

Layout: fs/xfs/libxfs/xfs_format.h of Linux, struct xfs_dinode, xfs_bmbt_rec, xfs_btree_block.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from vagrantish.formats.device import ImageError
from vagrantish.formats.volume import NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.formats.device import Device
    from vagrantish.formats.xfs_super import Superblock

_REALTIME = 1  # bit of di_flags
_NREXT64 = 1 << 4  # bit of di_flags2
_LEVELS_MAX = 9  # of the tree of a file's extents
_EXTENTS_MAX = 1 << 24
_KINDS = {
    stat.S_IFREG: NodeKind.FILE,
    stat.S_IFDIR: NodeKind.FOLDER,
    stat.S_IFLNK: NodeKind.LINK,
}


class Format(IntEnum):
    DEVICE = 0
    LOCAL = 1
    EXTENTS = 2
    BTREE = 3


@dataclass(frozen=True, kw_only=True)
class Inode:
    number: int
    kind: NodeKind
    mode: int
    size: int
    format: Format
    extents: int  # how many it claims
    fork: bytes  # the data, the extents, or the root of their tree


@dataclass(frozen=True, kw_only=True)
class Extent:
    offset: int  # block of the file
    count: int
    start: int  # block number on the device
    unwritten: bool  # reads as zeros


def read(device: Device, superblock: Superblock, number: int) -> Inode:
    """Raises ImageError when there is no such inode, or vx cannot read it."""
    offset = superblock.byte_of_inode(number)
    raw = device.read_at(offset, superblock.inode)
    version, kind = raw[4], raw[5]
    core = 176 if version == 3 else 100
    if raw[:2] != b"IN" or version not in (1, 2, 3) or kind > Format.BTREE:
        raise ImageError(f"inode {number} of its XFS file system is damaged", offset=offset)
    if version == 3 and struct.unpack_from(">Q", raw, 152)[0] != number:
        raise ImageError(f"inode {number} of its XFS file system is another one", offset=offset)
    mode, size = struct.unpack_from(">H", raw, 2)[0], struct.unpack_from(">Q", raw, 56)[0]
    fork_bytes = raw[82] * 8 or superblock.inode - core
    if core + fork_bytes > superblock.inode or size >> 63:
        raise ImageError(f"inode {number} of its XFS file system is damaged", offset=offset)
    if struct.unpack_from(">H", raw, 90)[0] & _REALTIME and stat.S_ISREG(mode):
        raise ImageError(f"inode {number} of its XFS file system is kept in a realtime section")
    wide = version == 3 and struct.unpack_from(">Q", raw, 120)[0] & _NREXT64
    return Inode(
        number=number,
        kind=_KINDS.get(stat.S_IFMT(mode), NodeKind.OTHER),
        mode=stat.S_IMODE(mode),
        size=size,
        format=Format(kind),
        extents=struct.unpack_from(">Q", raw, 24)[0]
        if wide
        else struct.unpack_from(">I", raw, 76)[0],
        fork=raw[core : core + fork_bytes],
    )


def extents(device: Device, superblock: Superblock, inode: Inode) -> Iterator[Extent]:
    """In the order of the file; what lies between them is a hole. Raises ImageError."""
    if inode.format is Format.EXTENTS:
        found = _records(inode.fork, 0, inode.extents)
    elif inode.format is Format.BTREE:
        found = _tree_records(device, superblock, inode)
    else:
        raise ImageError(f"inode {inode.number} of its XFS file system has no extents")
    end, count = 0, 0
    for extent in found:
        count += 1
        if extent.offset < end or extent.count == 0 or count > min(inode.extents, _EXTENTS_MAX):
            raise ImageError(f"the extents of inode {inode.number} contradict one another")
        end = extent.offset + extent.count
        yield extent
    if count != inode.extents:
        raise ImageError(f"inode {inode.number} lacks {inode.extents - count} of its extents")


def _records(data: bytes, start: int, count: int) -> Iterator[Extent]:
    if start + count * 16 > len(data):
        raise ImageError(f"{count} extents do not fit in their XFS block")
    for high, low in struct.iter_unpack(">QQ", data[start : start + count * 16]):
        yield Extent(
            unwritten=bool(high >> 63),
            offset=high >> 9 & ((1 << 54) - 1),
            start=(high & 0x1FF) << 43 | low >> 21,
            count=low & 0x1FFFFF,
        )


def _tree_records(device: Device, superblock: Superblock, inode: Inode) -> Iterator[Extent]:
    level, count = struct.unpack_from(">HH", inode.fork)
    if not 1 <= level <= _LEVELS_MAX:
        raise ImageError(f"the extents of inode {inode.number} are {level} levels deep")
    magic, header = (b"BMA3", 72) if superblock.version == 5 else (b"BMAP", 24)
    seen: set[int] = set()
    # What is still to be read, the next at the end: block, and the level it must be of.
    waiting = [(block, level - 1) for block in _pointers(inode.fork, 4, count)[::-1]]
    while waiting:
        number, level = waiting.pop()
        if number in seen:
            raise ImageError(f"the extents of inode {inode.number} lead round in circles")
        seen.add(number)
        offset = superblock.byte_of(number)
        data = device.read_at(offset, superblock.block)
        its_level, count = struct.unpack_from(">HH", data, 4)
        if not data.startswith(magic) or its_level != level:
            raise ImageError("a block that should list extents holds something else", offset=offset)
        if level == 0:
            yield from _records(data, header, count)
        else:
            pointers = _pointers(data, header, count)
            waiting.extend((block, level - 1) for block in pointers[::-1])


def _pointers(data: bytes, header: int, count: int) -> tuple[int, ...]:
    """Keys come first and take half of the room, filled or not."""
    start = header + (len(data) - header) // 16 * 8
    if start + count * 8 > len(data):
        raise ImageError(f"{count} pointers do not fit in their XFS block")
    return struct.unpack_from(f">{count}Q", data, start)
