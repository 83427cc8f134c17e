"""The superblock of an XFS file system: its geometry, and whether vx can read it.

Layout: fs/xfs/libxfs/xfs_format.h of Linux, struct xfs_dsb. All numbers are big-endian.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

from vagrantish.formats.device import ImageError

MAGIC = b"XFSB"
HEAD_BYTES = 512
_DIRV2, _MOREBITS = 0x2000, 0x8000  # bits of the version word
_FTYPE_V4 = 0x200  # bit of features2
_FTYPE_V5 = 1
# Incompatible features by bit: what they are called, and whether a reader may go on.
_FEATURES = (
    ("ftype", True),
    ("sparse inodes", True),
    ("meta uuid", True),
    ("bigtime", True),
    ("needsrepair (run `xfs_repair` on it)", False),
    ("nrext64", True),
    ("exchange-range", True),
    ("parent pointers", True),
    ("metadata directory", True),
    ("zoned", False),
    ("zone gaps", False),
)


@dataclass(frozen=True, kw_only=True)
class Superblock:
    version: int  # 4, or 5 with checksums
    block: int  # bytes
    blocks: int
    group_blocks: int
    group_bits: int  # of a block number, below the number of its allocation group
    inode: int  # bytes
    inode_bits: int  # of an inode number, below the number of its block
    root: int
    folder_block: int  # bytes
    ftype: bool  # folder entries tell what they name
    label: str
    uuid: str
    log_start: int  # block number; 0 when the log is on another device
    log_blocks: int

    def byte_of(self, block: int, count: int = 1) -> int:
        """Where blocks of that number lie. Raises ImageError unless all of them can be."""
        group, within = block >> self.group_bits, block & ((1 << self.group_bits) - 1)
        linear = group * self.group_blocks + within
        if within + count > self.group_blocks or linear + count > self.blocks:
            raise ImageError(f"it points to block {block}, which its XFS file system does not have")
        return linear * self.block

    def byte_of_inode(self, number: int) -> int:
        within = number & ((1 << self.inode_bits) - 1)
        return self.byte_of(number >> self.inode_bits) + within * self.inode


def parse(head: bytes, device_bytes: int) -> Superblock:
    """From the first HEAD_BYTES of a device of that size. Raises ImageError."""
    if not head.startswith(MAGIC) or len(head) < 272:
        raise ImageError("it is not an XFS file system", offset=0)
    block, blocks = struct.unpack_from(">IQ", head, 4)
    group_blocks, groups, _, log_blocks, flags, sector, inode, per_block = struct.unpack_from(
        ">IIIIHHHH", head, 84
    )
    block_log, sector_log, inode_log, per_block_log, group_log = head[120:125]
    folder_log = head[192]
    version = flags & 0xF
    if version not in (4, 5) or not flags & _DIRV2:
        raise ImageError(f"it is XFS of version {version}, and 4 and 5 are known", offset=100)
    sound = (
        9 <= block_log <= 16
        and block == 1 << block_log
        and 9 <= sector_log <= 15
        and sector == 1 << sector_log
        and 8 <= inode_log <= 11
        and inode == 1 << inode_log
        and inode <= block
        and per_block == 1 << per_block_log == block // inode
        and 0 < group_blocks <= 1 << group_log <= 1 << 31
        and groups == -(-blocks // group_blocks)
        and block_log + folder_log <= 16
    )
    if not sound:
        raise ImageError("its XFS superblock contradicts itself", offset=0)
    if head[126]:
        raise ImageError("its XFS file system was never finished: mkfs.xfs was cut off", offset=126)
    if blocks * block > device_bytes:
        raise ImageError(
            f"its XFS file system is cut short: it has {blocks * block} bytes, "
            f"and {device_bytes} are there",
            offset=0,
        )
    root, log_start = struct.unpack_from(">Q", head, 56)[0], struct.unpack_from(">Q", head, 48)[0]
    return Superblock(
        version=version,
        block=block,
        blocks=blocks,
        group_blocks=group_blocks,
        group_bits=group_log,
        inode=inode,
        inode_bits=per_block_log,
        root=root,
        folder_block=block << folder_log,
        ftype=_has_ftype(head, version, flags),
        label=head[108:120].split(b"\0")[0].decode("utf-8", "replace"),
        uuid=str(uuid.UUID(bytes=head[32:48])),
        log_start=log_start,
        log_blocks=log_blocks,
    )


def _has_ftype(head: bytes, version: int, flags: int) -> bool:
    """Raises ImageError for features vx does not know."""
    if version == 4:
        return bool(flags & _MOREBITS and struct.unpack_from(">I", head, 200)[0] & _FTYPE_V4)
    incompatible: int = struct.unpack_from(">I", head, 216)[0]
    refused = [
        _FEATURES[bit][0] if bit < len(_FEATURES) else f"bit {bit}"
        for bit in range(32)
        if incompatible >> bit & 1 and not (bit < len(_FEATURES) and _FEATURES[bit][1])
    ]
    if refused:
        raise ImageError(
            f"its XFS file system has a feature vx cannot read: {', '.join(refused)}", offset=216
        )
    return bool(incompatible & _FTYPE_V5)
