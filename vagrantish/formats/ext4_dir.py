"""Folders of ext2, ext3 and ext4, entry by entry; the hash trees over them are passed by.

Layout: Documentation/filesystems/ext4/directory.rst of Linux. A hash tree's own blocks look like
one free entry, and a block's checksum like a free entry at its end.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from vagrantish.formats.device import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator


def entries(data: bytes, folder: int, *, typed: bool) -> Iterator[tuple[bytes, int]]:
    """(name, inode number) of a block or an inline run, "." and ".." left out.

    ``typed``: the file system keeps each entry's kind. Raises ImageError, which names ``folder``.
    """
    at, end = 0, len(data)
    while at < end:
        if end - at < 8:
            raise _damaged(folder)
        inode, length, name_bytes = struct.unpack_from("<IHH", data, at)
        if typed:
            name_bytes &= 0xFF
        length = _length(length, end)
        if length < 8 + name_bytes or length < 8 or length % 4 or at + length > end:
            raise _damaged(folder)
        name = data[at + 8 : at + 8 + name_bytes]
        if inode and name not in (b".", b".."):
            if not name or b"/" in name or b"\0" in name:
                raise ImageError(f"the folder with inode {folder} holds a name no file can have")
            yield name, inode
        at += length


def _length(stored: int, block: int) -> int:
    """Blocks of 64 KiB need more than 16 bits; fs/ext4/ext4.h, ext4_rec_len_from_disk."""
    if block < 1 << 16:
        return stored
    if stored in (0, 0xFFFF):
        return block
    return (stored & 0xFFFC) | (stored & 3) << 16


def _damaged(folder: int) -> ImageError:
    return ImageError(f"the folder with inode {folder} is damaged")
