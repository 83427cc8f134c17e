"""The superblock, group descriptors and bitmaps of a new ext4 file system, with their copies."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.formats.ext4_make_layout import BLOCK, FIRST_INODE, GROUP_BLOCKS, INODE_BYTES
from vagrantish.formats.ext4_make_records import GroupRecord, bitmap
from vagrantish.formats.ext4_super import AT, BYTES, MAGIC, has_sparse_super

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vagrantish.formats.ext4_make_layout import Blocks, Layout

JOURNAL_INODE = 8
# has_journal, ext_attr, dir_index; filetype, extents; sparse_super, large_file, uninit_bg,
# dir_nlink, extra_isize.
_COMPAT, _INCOMPAT, _RO_COMPAT = 0x4 | 0x8 | 0x20, 0x2 | 0x40, 0x1 | 0x2 | 0x10 | 0x20 | 0x40
_INODES_UNUSED, _BLOCKS_UNUSED, _TABLE_ZEROED = 1, 2, 4
_USER_XATTR_ACL = 0xC  # mount options taken without being asked for, as mke2fs has them
_HALF_MD4, _SIGNED_HASH = 1, 1
_JOURNAL_BACKUP = 1
_ENDLESS = 0xFFFF  # mounts until a check


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What was put into the file system."""

    layout: Layout
    blocks: Blocks
    last_inode: int
    folders: Mapping[int, int]  # group → how many have their inode there
    journal_map: bytes  # as in its inode: 60 bytes
    journal_bytes: int
    label: bytes
    uuid: bytes


def pieces(filled: Filled) -> Iterator[tuple[int, bytes]]:
    """(byte of the image, what goes there)."""
    layout = filled.layout
    groups = [_record(filled, group) for group in range(layout.groups)]
    table = b"".join(group.sealed(filled.uuid, at) for at, group in enumerate(groups))
    superblock = _superblock(filled, groups)
    for at, group in enumerate(groups):
        start = at * GROUP_BLOCKS
        if has_sparse_super(at):
            struct.pack_into("<H", superblock, 0x5A, at)
            yield start * BLOCK + (0 if at else AT), bytes(superblock)
            yield (start + 1) * BLOCK, table
        if not group.flags & _BLOCKS_UNUSED:
            used = filled.blocks.used_until(at) - start
            yield group.bitmaps * BLOCK, bitmap(used, layout.end(at) - start)
        if not group.flags & _INODES_UNUSED:
            used = layout.inodes_per_group - group.free_inodes
            yield (group.bitmaps + 1) * BLOCK, bitmap(used, layout.inodes_per_group)


def _record(filled: Filled, group: int) -> GroupRecord:
    """The kernel works out a bitmap that is marked as unused; the last group's it expects."""
    layout = filled.layout
    used = min(max(filled.last_inode - group * layout.inodes_per_group, 0), layout.inodes_per_group)
    until = filled.blocks.used_until(group)
    untouched = until == layout.data(group) and 0 < group < layout.groups - 1
    return GroupRecord(
        bitmaps=layout.bitmaps(group),
        free_blocks=layout.end(group) - until,
        free_inodes=layout.inodes_per_group - used,
        folders=filled.folders.get(group, 0),
        flags=_TABLE_ZEROED
        | (0 if used else _INODES_UNUSED)
        | (_BLOCKS_UNUSED if untouched else 0),
        unused_inodes=layout.inodes_per_group - used,
    )


def _superblock(filled: Filled, groups: list[GroupRecord]) -> bytearray:
    layout = filled.layout
    data = bytearray(BYTES)
    struct.pack_into(
        "<IIIIIIIIIII", data, 0,
        layout.inodes, layout.blocks, 0,
        sum(group.free_blocks for group in groups), sum(group.free_inodes for group in groups),
        0, 2, 2,  # first block; blocks of 2 ** (10 + 2) bytes
        GROUP_BLOCKS, GROUP_BLOCKS, layout.inodes_per_group,
    )  # fmt: skip
    # Mounted 0 times, clean, goes on after errors; revision 1.
    struct.pack_into("<HHHHH", data, 0x34, 0, _ENDLESS, MAGIC, 1, 1)
    struct.pack_into("<I", data, 0x4C, 1)
    struct.pack_into(
        "<IHHIII", data, 0x54, FIRST_INODE, INODE_BYTES, 0, _COMPAT, _INCOMPAT, _RO_COMPAT
    )
    struct.pack_into("<16s16s", data, 0x68, filled.uuid, filled.label)
    struct.pack_into(
        "<I8x16sBB", data, 0xE0, JOURNAL_INODE, filled.uuid, _HALF_MD4, _JOURNAL_BACKUP
    )
    struct.pack_into("<I", data, 0x100, _USER_XATTR_ACL)
    struct.pack_into("<60sII", data, 0x10C, filled.journal_map, 0, filled.journal_bytes)
    extra = INODE_BYTES - 128 - 96  # of the inode, at least and by choice
    struct.pack_into("<HHI", data, 0x15C, extra, extra, _SIGNED_HASH)
    return data
