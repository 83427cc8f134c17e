"""The records of a new ext4 file system, as bytes: inodes, folders, extents, descriptors, journal.

Layout: Documentation/filesystems/ext4/ of Linux. Numbers are little-endian, the journal's big-endian.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from vagrantish.formats.ext4_make_layout import BLOCK, INODE_BYTES
from vagrantish.formats.volume import NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EXTENTS_IN_INODE = 4
EXTENTS_IN_BLOCK = (BLOCK - 12) // 12
_EXTENTS = 0x80000
_EXTRA_BYTES = 32  # of the inode beyond the first 128
_LINKS_MAX = 65000  # of a folder; more are written as 1
_TYPES = {NodeKind.FILE: 1, NodeKind.FOLDER: 2, NodeKind.LINK: 7}
_FORMATS = {
    NodeKind.FILE: stat.S_IFREG,
    NodeKind.FOLDER: stat.S_IFDIR,
    NodeKind.LINK: stat.S_IFLNK,
}

Extents = tuple[tuple[int, int], ...]  # (first block, how many), one after the other


@dataclass(frozen=True, kw_only=True)
class InodeRecord:
    kind: NodeKind
    mode: int
    size: int
    blocks: int  # data, and what maps it
    map: bytes
    uid: int = 0
    gid: int = 0
    links: int = 1
    modified: int = 0
    extents: bool = True  # what ``map`` is

    def __bytes__(self) -> bytes:
        time, high = self.modified & 0xFFFFFFFF, _epoch(self.modified)
        sectors = self.blocks * (BLOCK // 512)
        data = bytearray(INODE_BYTES)
        struct.pack_into(
            "<HHIIIIIHHII4x60s4xII4x", data, 0,
            _FORMATS[self.kind] | self.mode, self.uid & 0xFFFF, self.size & 0xFFFFFFFF,
            time, time, time, 0,
            self.gid & 0xFFFF, self.links if self.links <= _LINKS_MAX else 1,
            sectors & 0xFFFFFFFF, _EXTENTS if self.extents else 0,
            self.map, 0, self.size >> 32,
        )  # fmt: skip
        struct.pack_into("<HHHH", data, 0x74, sectors >> 32, 0, self.uid >> 16, self.gid >> 16)
        struct.pack_into("<HHIIIII", data, 0x80, _EXTRA_BYTES, 0, high, high, high, time, high)
        return bytes(data)


def _epoch(time: int) -> int:
    """The two bits that carry a time beyond 2038."""
    signed = (time & 0xFFFFFFFF) - (time & 0x80000000) * 2
    return (time - signed) >> 32 & 3


def extent_root(extents: Extents, nodes: Sequence[tuple[int, bytes]] = ()) -> bytes:
    """What an inode keeps: its extents, or where the nodes are that do."""
    if not nodes:
        return _node(_leaves(extents), most=EXTENTS_IN_INODE).ljust(60, b"\0")
    entries = [
        struct.pack("<IIHH", struct.unpack_from("<I", node, 12)[0], at & 0xFFFFFFFF, at >> 32, 0)
        for at, node in nodes
    ]
    return _node(entries, most=EXTENTS_IN_INODE, depth=1).ljust(60, b"\0")


def node_blocks(extents: Extents, places: Extents) -> list[tuple[int, bytes]]:
    """(block, what goes there) of the nodes at ``places`` that keep ``extents``."""
    leaves = _leaves(extents)
    numbers = [first + index for first, count in places for index in range(count)]
    return [
        (
            number,
            _node(
                leaves[index * EXTENTS_IN_BLOCK : (index + 1) * EXTENTS_IN_BLOCK],
                most=EXTENTS_IN_BLOCK,
            ).ljust(BLOCK, b"\0"),
        )
        for index, number in enumerate(numbers)
    ]


def _node(entries: Sequence[bytes], *, most: int, depth: int = 0) -> bytes:
    return struct.pack("<HHHHI", 0xF30A, len(entries), most, depth, 0) + b"".join(entries)


def _leaves(extents: Extents) -> list[bytes]:
    packed, logical = [], 0
    for first, count in extents:
        packed.append(struct.pack("<IHHI", logical, count, first >> 32, first & 0xFFFFFFFF))
        logical += count
    return packed


def folder_data(
    number: int, parent: int, children: Iterable[tuple[bytes, int, NodeKind]], *, blocks: int = 1
) -> bytes:
    """The blocks of a folder: at least ``blocks`` of them."""
    pages = [bytearray()]
    last = 0  # where the last entry of the last page starts
    entries = [(b".", number, NodeKind.FOLDER), (b"..", parent, NodeKind.FOLDER), *children]
    for name, inode, kind in entries:
        size = 8 + -(-len(name) // 4) * 4
        if len(pages[-1]) + size > BLOCK:
            _close(pages[-1], last)
            pages.append(bytearray())
        last = len(pages[-1])
        pages[-1] += struct.pack("<IHBB", inode, size, len(name), _TYPES[kind])
        pages[-1] += name.ljust(size - 8, b"\0")
    _close(pages[-1], last)
    while len(pages) < blocks:
        pages.append(bytearray(struct.pack("<IHBB", 0, BLOCK, 0, 0).ljust(BLOCK, b"\0")))
    return b"".join(pages)


def _close(page: bytearray, last: int) -> None:
    """Let the last entry reach to the end of its block."""
    struct.pack_into("<H", page, last + 4, BLOCK - last)
    page += bytes(BLOCK - len(page))


@dataclass(frozen=True, kw_only=True)
class GroupRecord:
    bitmaps: int
    free_blocks: int
    free_inodes: int
    folders: int
    flags: int
    unused_inodes: int  # at the end of its table

    def sealed(self, uuid: bytes, group: int) -> bytes:
        head = struct.pack(
            "<IIIHHHH8xH",
            self.bitmaps,
            self.bitmaps + 1,
            self.bitmaps + 2,
            self.free_blocks,
            self.free_inodes,
            self.folders,
            self.flags,
            self.unused_inodes,
        )
        return head + struct.pack("<H", _crc16(uuid + struct.pack("<I", group) + head))


def _crc16(data: bytes) -> int:
    """lib/crc16.c of Linux, from 0xffff on."""
    table, crc = _crc16_table(), 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc


@cache
def _crc16_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
        table.append(value)
    return tuple(table)


def journal_superblock(blocks: int, uuid: bytes) -> bytes:
    """Of an empty journal: the next change is number 1 and goes to block 1."""
    head = struct.pack(">IIIIIIII", 0xC03B3998, 4, 0, BLOCK, blocks, 1, 1, 0)
    head = head.ljust(0x30, b"\0") + uuid + struct.pack(">I", 1)  # one user
    return head.ljust(BLOCK, b"\0")


def bitmap(used: int, size: int) -> bytes:
    """A block whose first ``used`` bits are set, and all from ``size`` on."""
    bits = (1 << used) - 1 | (1 << BLOCK * 8) - (1 << size)
    return bits.to_bytes(BLOCK, "little")
