"""Inodes of ext2, ext3 and ext4: what they are of, and the data that lies in them.

Layout: Documentation/filesystems/ext4/inodes.rst and attributes.rst of Linux.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass

from vagrantish.formats.device import ImageError
from vagrantish.formats.volume import NodeKind

_COMPRESSED, _ENCRYPTED = 0x4, 0x800
EXTENTS = 0x80000
INLINE = 0x10000000
CASEFOLD = 0x40000000
_XATTR_MAGIC = 0xEA020000
_SYSTEM = 7  # index of the attributes called system.…
_FAST_LINK_MAX = 60
_KINDS = {
    stat.S_IFREG: NodeKind.FILE,
    stat.S_IFDIR: NodeKind.FOLDER,
    stat.S_IFLNK: NodeKind.LINK,
}


@dataclass(frozen=True, kw_only=True)
class Inode:
    number: int
    mode: int  # permission bits
    kind: NodeKind
    size: int
    flags: int
    map: bytes  # 60 bytes: a map of blocks, or data
    inline: bytes = b""  # data that follows on the map's

    @property
    def holds_data(self) -> bool:
        """Whether its bytes lie in ``map`` and ``inline``, not in blocks."""
        if self.flags & INLINE:
            return True
        return (
            self.kind is NodeKind.LINK
            and self.size < _FAST_LINK_MAX
            and not self.flags & EXTENTS
        )  # fmt: skip

    def check_readable(self) -> None:
        """Raises ImageError where the bytes are there and mean something else."""
        for flag, what in ((_ENCRYPTED, "encrypted"), (_COMPRESSED, "compressed")):
            if self.flags & flag:
                raise ImageError(f"its {self.kind} with inode {self.number} is {what}")


def parse(data: bytes, number: int, *, large_folders: bool) -> Inode:
    """``data`` is all of the inode. Raises ImageError."""
    mode, _, low = struct.unpack_from("<HHI", data)
    flags = struct.unpack_from("<I", data, 0x20)[0]
    kind = _KINDS.get(stat.S_IFMT(mode), NodeKind.OTHER)
    size = low
    if kind is NodeKind.FILE or (kind is NodeKind.FOLDER and large_folders):
        size |= struct.unpack_from("<I", data, 0x6C)[0] << 32
    return Inode(
        number=number,
        mode=stat.S_IMODE(mode),
        kind=kind,
        size=size,
        flags=flags,
        map=data[0x28:0x64],
        inline=_inline(data, number) if flags & INLINE else b"",
    )


def _inline(data: bytes, number: int) -> bytes:
    """The value of system.data, where inline data goes on after 60 bytes; empty without one."""
    extra = struct.unpack_from("<H", data, 0x80)[0] if len(data) > 128 else 0
    first = 128 + extra + 4
    if len(data) <= 128 or first > len(data) - 4:
        return b""
    if struct.unpack_from("<I", data, first - 4)[0] != _XATTR_MAGIC:
        return b""
    at = first
    while at + 16 <= len(data) and any(data[at : at + 4]):
        name_bytes, index, value, inode, length = struct.unpack_from("<BBHII", data, at)
        if index == _SYSTEM and data[at + 16 : at + 16 + name_bytes] == b"data":
            if inode or first + value + length > len(data):
                break
            return data[first + value : first + value + length]
        at += 16 + -(-name_bytes // 4) * 4
    else:
        return b""
    raise ImageError(f"the data in inode {number} is cut short")
