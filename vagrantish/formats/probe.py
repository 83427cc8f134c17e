"""What a disk or partition holds, by its magic numbers; opened where vx can read it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.formats.device import ImageError
from vagrantish.formats.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.formats.device import Device
    from vagrantish.formats.volume import FileSystem


@dataclass(frozen=True)
class _Kind:
    what: str  # for people
    marks: tuple[tuple[int, bytes], ...]  # (byte, what stands there): any of them
    open: Callable[[Device], FileSystem] | None = None


def open_volume(device: Device) -> Volume | None:
    """The file system, None where vx cannot look into what there is: ``describe`` says what.

    Raises ImageError for a file system that is damaged or uses what vx does not know; OSError.
    """
    kind = _kind_of(device)
    return Volume(kind.open(device)) if kind and kind.open else None


def describe(device: Device) -> str:
    """For people: "an ext4 file system", "an LVM volume", "nothing that vx knows"."""
    kind = _kind_of(device)
    return kind.what if kind else "nothing that vx knows"


def _kind_of(device: Device) -> _Kind | None:
    for kind in _KINDS:
        if any(_at(device, offset, len(mark)) == mark for offset, mark in kind.marks):
            return kind
    return _FAT if _is_fat(device) else None


def _at(device: Device, offset: int, length: int) -> bytes:
    return device.read_at(offset, length) if offset + length <= device.size else b""


def _is_fat(device: Device) -> bool:
    from vagrantish.formats import fat_table

    sector = _at(device, 0, fat_table.BOOT_BYTES)
    if not sector or sector[510:] != b"\x55\xaa" or sector[0] not in (0xEB, 0xE9):
        return False
    try:
        fat_table.parse(sector)
    except ImageError:
        return False
    return True


def _ext(device: Device) -> FileSystem:
    from vagrantish.formats.ext4 import Ext4

    return Ext4(device)


def _xfs(device: Device) -> FileSystem:
    from vagrantish.formats.xfs import Xfs

    return Xfs(device)


def _btrfs(device: Device) -> FileSystem:
    from vagrantish.formats.btrfs import Btrfs

    return Btrfs(device)


def _iso(device: Device) -> FileSystem:
    from vagrantish.formats.iso9660 import Iso9660

    return Iso9660(device)


def _fat(device: Device) -> FileSystem:
    from vagrantish.formats.fat import Fat

    return Fat(device)


_SWAP_PAGES = (4 << 10, 16 << 10, 64 << 10)
_FAT = _Kind("a FAT file system", (), _fat)
# What stands at the very start comes first: marks further in may be left from an earlier use. The
# numbers are those of the kinds' own headers; f2fs, erofs and UFS2 as in Linux's magic.h.
_KINDS = (
    _Kind("an XFS file system", ((0, b"XFSB"),), _xfs),
    _Kind("an encrypted LUKS volume", ((0, b"LUKS\xba\xbe"),)),
    _Kind("a squashfs file system", ((0, b"hsqs"),)),
    _Kind("an NTFS file system", ((3, b"NTFS    "),)),
    _Kind("an exFAT file system", ((3, b"EXFAT   "),)),
    _Kind("an LVM volume", tuple((sector * 512, b"LABELONE") for sector in range(4))),
    _Kind(
        "swap space",
        tuple((page - 10, mark) for page in _SWAP_PAGES for mark in (b"SWAPSPACE2", b"SWAP-SPACE")),
    ),
    _Kind("an ext file system", ((1080, struct.pack("<H", 0xEF53)),), _ext),
    _Kind("a btrfs file system", ((0x10040, b"_BHRfS_M"),), _btrfs),
    _Kind("an ISO 9660 file system", ((0x8001, b"CD001"),), _iso),
    _Kind("part of a RAID", tuple((at, struct.pack("<I", 0xA92B4EFC)) for at in (0, 4096))),
    _Kind("an f2fs file system", ((1024, struct.pack("<I", 0xF2F52010)),)),
    _Kind("an EROFS file system", ((1024, struct.pack("<I", 0xE0F5E1E2)),)),
    _Kind("a UFS file system", ((0x10000 + 1372, struct.pack("<I", 0x19540119)),)),
)
