"""Folders of XFS: names and inode numbers out of an inode or out of data blocks.

Layout: fs/xfs/libxfs/xfs_da_format.h of Linux, struct xfs_dir2_sf_hdr and xfs_dir2_data_entry.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from vagrantish.formats.device import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Data blocks lie below this byte of a folder; above come hash indexes, which are not needed.
DATA_END = 32 << 30
_FREE = 0xFFFF
# magic → (bytes of the header, whether the block has its own hash index at the end)
_BLOCKS = {
    b"XD2B": (16, True),
    b"XD2D": (16, False),
    b"XDB3": (64, True),
    b"XDD3": (64, False),
}


def short_entries(fork: bytes, *, ftype: bool) -> Iterator[tuple[str, int]]:
    """(name, inode number) of a folder small enough for its inode. Raises ImageError."""
    count, wide = fork[0], fork[1]
    width = 8 if wide else 4
    position = 2 + width  # the inode number of its parent
    for _ in range(count):
        start = position + 3
        number = start + fork[position] + ftype if position < len(fork) else len(fork)
        position = number + width
        if position > len(fork):
            raise ImageError("an XFS folder is cut short in its inode")
        name = fork[start : number - ftype]
        yield _text(name), int.from_bytes(fork[number:position], "big")


def block_entries(data: bytes, *, ftype: bool) -> Iterator[tuple[str, int]]:
    """(name, inode number) of one data block, "." and ".." left out. Raises ImageError."""
    if data[:4] not in _BLOCKS:
        raise ImageError("a block of an XFS folder holds something else")
    position, indexed = _BLOCKS[data[:4]]
    end = len(data)
    if indexed:
        end -= 8 + 8 * struct.unpack_from(">I", data, len(data) - 8)[0]
        if end < position:
            raise ImageError("a block of an XFS folder has an index larger than itself")
    while position + 16 <= end:
        free, length = struct.unpack_from(">HH", data, position)
        if free == _FREE:
            step = length
        else:
            number, name_bytes = struct.unpack_from(">QB", data, position)
            step = -(-(11 + name_bytes + ftype) // 8) * 8
            name = data[position + 9 : position + 9 + name_bytes]
            if name not in (b".", b".."):
                yield _text(name), number
        if step < 8 or step % 8 or position + step > end:
            raise ImageError("an XFS folder is damaged")
        position += step


def _text(name: bytes) -> str:
    if not name or b"/" in name or b"\0" in name:
        raise ImageError("an XFS folder holds a name no file can have")
    return name.decode("utf-8", "surrogateescape")
