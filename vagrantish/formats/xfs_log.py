"""Whether the log of an XFS file system holds changes that were not written back.

Layout: fs/xfs/libxfs/xfs_log_format.h of Linux; the search follows xlog_find_head and
xlog_check_unmount_rec of fs/xfs/xfs_log_recover.c.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vagrantish.formats.device import Device

_SECTOR = 512
_MAGIC = 0xFEEDBABE
_UNMOUNT = 0x20  # flag of an operation
# A record has at most 256 KiB of data, and a header sector for each 32 KiB of it.
_LOOK_BACK = (256 << 10) // _SECTOR + 9


def is_clean(log: Device) -> bool:
    """The last thing written to it says that the file system was put away in order."""
    sectors = log.size // _SECTOR
    if sectors < 2:
        return False
    head = _head(log, sectors)
    if head == 0:
        return False
    start = max(0, head - _LOOK_BACK)
    tail = log.read_at(start * _SECTOR, (head - start) * _SECTOR)
    for offset in range(len(tail) - 2 * _SECTOR, -1, -_SECTOR):
        if struct.unpack_from(">I", tail, offset)[0] == _MAGIC:
            return _is_unmount(tail, offset)
    return False


def _head(log: Device, sectors: int) -> int:
    """The sector after the last one written: there the cycle number drops."""

    def cycle(sector: int) -> int:
        first, second = struct.unpack(">II", log.read_at(sector * _SECTOR, 8))
        return int(second if first == _MAGIC else first)

    newest = cycle(0)
    if newest == 0:
        return 0
    if cycle(sectors - 1) == newest:
        return sectors
    low, high = 0, sectors - 1  # the cycle at low is the newest, at high it is older
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cycle(middle) == newest else (low, middle)
    return high


def _is_unmount(tail: bytes, offset: int) -> bool:
    version = struct.unpack_from(">I", tail, offset + 8)[0]
    operations = struct.unpack_from(">I", tail, offset + 40)[0]
    size = struct.unpack_from(">I", tail, offset + 320)[0]
    headers = max(1, -(-size // (32 << 10))) if version & 2 else 1
    operation = offset + headers * _SECTOR
    return bool(operations == 1 and operation + 12 <= len(tail) and tail[operation + 9] & _UNMOUNT)
