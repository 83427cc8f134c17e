"""The superblock of ext2, ext3 and ext4: sizes, features, and where inodes lie.

Layout: Documentation/filesystems/ext4/ of Linux, and fs/ext4/ext4.h. All numbers are little-endian.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

from vagrantish.formats.device import ImageError

AT = 1024
BYTES = 1024
MAGIC = 0xEF53

HAS_JOURNAL = 0x4  # the one compatible feature looked at, beside
_SPARSE_SUPER2 = 0x200
FILETYPE, RECOVER, META_BG, EXTENTS, BITS64 = 0x2, 0x4, 0x10, 0x40, 0x80
_JOURNAL_DEVICE = 0x8
_SPARSE_SUPER = 0x1
# Those that only ext4 has, by the table in misc of libblkid: incompatible, then read-only.
_EXT3_INCOMPAT, _EXT3_RO = 0x16, 0x7
# Read without minding: multiple mount protection, flexible groups, values in inodes, checksum
# seed, large folders, inline data, encryption and case folding (each seen in the inode).
_KNOWN = FILETYPE | RECOVER | META_BG | EXTENTS | BITS64
_KNOWN |= 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
_NAMES = {0x1: "compression", 0x1000: "dirdata"}


@dataclass(frozen=True, kw_only=True)
class Superblock:
    block: int  # bytes
    blocks: int
    inodes: int
    inodes_per_group: int
    blocks_per_group: int
    inode_bytes: int
    first_block: int
    descriptor_bytes: int
    first_meta_group: int
    compat: int
    incompat: int
    ro_compat: int
    backup_groups: tuple[int, int]
    journal_inode: int
    journal_device: int
    label: str
    uuid: str

    @property
    def kind(self) -> str:
        if self.incompat & ~_EXT3_INCOMPAT or self.ro_compat & ~_EXT3_RO:
            return "ext4"
        return "ext3" if self.compat & HAS_JOURNAL else "ext2"

    def descriptor_at(self, group: int) -> int:
        """Byte of a group's descriptor; fs/ext4/super.c, descriptor_loc."""
        index, inside = divmod(group, self.block // self.descriptor_bytes)
        if self.incompat & META_BG and index >= self.first_meta_group:
            leader = index * (self.block // self.descriptor_bytes)
            block = self.first_block + leader * self.blocks_per_group + self._has_super(leader)
            if self.block == 1024 and index == 0 and self.first_block == 0:
                block += 1
        else:
            block = (1 if self.block == 1024 else 0) + 1 + index
        return block * self.block + inside * self.descriptor_bytes

    def _has_super(self, group: int) -> bool:
        if group == 0:
            return True
        if self.compat & _SPARSE_SUPER2:
            return group in self.backup_groups
        return not self.ro_compat & _SPARSE_SUPER or has_sparse_super(group)


def has_sparse_super(group: int) -> bool:
    """Whether a group keeps a copy of the superblock: 0, 1, and the powers of 3, 5 and 7."""
    if group <= 1:
        return True
    for base in (3, 5, 7):
        power = base
        while power < group:
            power *= base
        if power == group:
            return True
    return False


def parse(data: bytes) -> Superblock:
    """From the 1024 bytes at byte 1024. Raises ImageError."""

    def u32(at: int) -> int:
        return int(struct.unpack_from("<I", data, at)[0])

    def u16(at: int) -> int:
        return int(struct.unpack_from("<H", data, at)[0])

    if u16(0x38) != MAGIC:
        raise ImageError("it is not an ext file system", offset=AT)
    dynamic = u32(0x4C) > 0  # revision 0 has neither features nor inodes of other sizes
    compat, incompat, ro_compat = (u32(at) if dynamic else 0 for at in (0x5C, 0x60, 0x64))
    if incompat & _JOURNAL_DEVICE:
        raise ImageError("it is the journal of another file system", offset=AT)
    if unknown := incompat & ~_KNOWN:
        bit = unknown & -unknown
        raise ImageError(
            f"its ext4 file system uses {_NAMES.get(bit, f'feature 0x{bit:x}')}, which vx cannot read",
            offset=AT,
        )
    if u32(0x18) > 6:
        raise ImageError(f"its ext file system claims blocks of 2^{u32(0x18) + 10} bytes")
    wide = bool(incompat & BITS64)
    parsed = Superblock(
        block=1024 << u32(0x18),
        blocks=u32(0x4) | (u32(0x150) << 32 if wide else 0),
        inodes=u32(0x0),
        inodes_per_group=u32(0x28),
        blocks_per_group=u32(0x20),
        inode_bytes=u16(0x58) if dynamic else 128,
        first_block=u32(0x14),
        descriptor_bytes=u16(0xFE) if wide else 32,
        first_meta_group=u32(0x104),
        compat=compat,
        incompat=incompat,
        ro_compat=ro_compat,
        backup_groups=(u32(0x24C), u32(0x250)),
        journal_inode=u32(0xE0),
        journal_device=u32(0xE4),
        label=data[0x78:0x88].partition(b"\0")[0].decode(errors="replace"),
        uuid=str(uuid.UUID(bytes=data[0x68:0x78])),
    )
    _check(parsed)
    return parsed


def _check(parsed: Superblock) -> None:
    if not 128 <= parsed.inode_bytes <= parsed.block or parsed.inode_bytes.bit_count() != 1:
        raise ImageError(f"its ext file system claims inodes of {parsed.inode_bytes} bytes")
    size = parsed.descriptor_bytes
    if size.bit_count() != 1 or not (64 if parsed.incompat & BITS64 else 32) <= size <= 1024:
        raise ImageError(f"its ext file system claims group descriptors of {size} bytes")
    groups = -(-max(parsed.blocks - parsed.first_block, 0) // (parsed.blocks_per_group or 1))
    if (
        not parsed.blocks_per_group
        or not parsed.inodes_per_group
        or parsed.first_block > 1
        or not 0 < parsed.inodes <= groups * parsed.inodes_per_group
    ):
        raise ImageError("the numbers in its ext superblock do not fit each other", offset=AT)
