"""The FAT of a FAT12, FAT16 or FAT32 file system, and the sizes in its boot sector.

Layout: Microsoft's FAT specification 1.03; which width it is follows fs/fat/inode.c of Linux.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from vagrantish.formats.device import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.formats.device import Device

BOOT_BYTES = 512
_FAT12_MAX = 4084  # clusters
_PAGE = 24 << 10  # of the table; a multiple of 12 bits, 16 and 32
_NO_NAME = "NO NAME"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Offsets and sizes are bytes."""

    bits: int  # 12, 16 or 32
    cluster: int
    clusters: int
    table: int
    data: int  # where cluster 2 starts
    root: int  # where the root lies, for 12 and 16 bits
    root_bytes: int
    root_cluster: int  # for 32 bits
    label: str
    uuid: str


def parse(sector: bytes) -> Layout:
    """From the boot sector. Raises ImageError where it is not one of FAT."""
    (
        sector_bytes, per_cluster, reserved, fats, root_entries, total, media, table_sectors
    ) = struct.unpack_from("<HBHBHHBH", sector, 11)  # fmt: skip
    total = total or struct.unpack_from("<I", sector, 32)[0]
    wide = not table_sectors
    if wide:
        table_sectors = struct.unpack_from("<I", sector, 36)[0]
    if (
        sector_bytes not in (512, 1024, 2048, 4096)
        or per_cluster.bit_count() != 1
        or not reserved
        or fats not in (1, 2)
        or not (media >= 0xF8 or media == 0xF0)
        or not table_sectors
    ):
        raise ImageError("it is not a FAT file system")
    root_at = reserved + fats * table_sectors
    data_at = root_at + -(-root_entries * 32 // sector_bytes)
    clusters = (total - data_at) // per_cluster
    bits = 32 if wide else 16 if clusters > _FAT12_MAX else 12
    if clusters < 1 or (clusters + 2) * bits > table_sectors * sector_bytes * 8:
        raise ImageError("the numbers in its FAT boot sector do not fit each other")
    label, uuid = _names(sector, 64 if wide else 36)
    return Layout(
        bits=bits,
        cluster=per_cluster * sector_bytes,
        clusters=clusters,
        table=(reserved + _active(sector, fats, wide=wide) * table_sectors) * sector_bytes,
        data=data_at * sector_bytes,
        root=root_at * sector_bytes,
        root_bytes=root_entries * 32,
        root_cluster=struct.unpack_from("<I", sector, 44)[0] if wide else 0,
        label=label,
        uuid=uuid,
    )


def _active(sector: bytes, fats: int, *, wide: bool) -> int:
    """Which copy of the table counts: FAT32 can be told to keep up only one."""
    flags = struct.unpack_from("<H", sector, 40)[0] if wide else 0
    return flags & 0xF if flags & 0x80 and flags & 0xF < fats else 0


def _names(sector: bytes, at: int) -> tuple[str, str]:
    """Label and volume number of the extended boot record whose drive number is at ``at``."""
    signature = sector[at + 2]
    if signature not in (0x28, 0x29):
        return "", ""
    number = struct.unpack_from("<I", sector, at + 3)[0]
    label = label_of(sector[at + 7 : at + 18]) if signature == 0x29 else ""
    return "" if label == _NO_NAME else label, f"{number >> 16:04X}-{number & 0xFFFF:04X}"


def label_of(raw: bytes) -> str:
    return raw.decode("cp437").rstrip(" \0")


class Table:
    """What follows on each cluster."""

    def __init__(self, device: Device, layout: Layout) -> None:
        self._device = device
        self._layout = layout
        self._page = lru_cache(64)(self._read_page)
        self._bytes = -(-(layout.clusters + 2) * layout.bits // 8)

    def chain(self, first: int, most: int) -> Iterator[tuple[int, int]]:
        """(cluster, how many side by side) from ``first`` to the end, or to ``most`` clusters.

        Raises ImageError for a chain that leads out of the table or round in circles.
        """
        here = first
        mark, seen, turn = 0, 0, 1  # Brent: a circle comes by the mark again
        start, count = first, 0
        while seen < most:
            if not 2 <= here < self._layout.clusters + 2:
                raise ImageError(f"its FAT leads to cluster {here} of {self._layout.clusters}")
            if here == mark:
                raise ImageError(f"its FAT leads round in circles at cluster {here}")
            seen += 1
            if seen == turn:
                mark, turn = here, turn * 2
            if here != start + count:
                yield start, count
                start, count = here, 0
            count += 1
            following = self._next(here) if seen < most else None
            if following is None:
                break
            here = following
        if count:
            yield start, count

    def _next(self, cluster: int) -> int | None:
        bits = self._layout.bits
        page, at = divmod(cluster * bits // 4, _PAGE * 2)  # in half bytes
        data = self._page(page)
        if bits == 32:
            value = struct.unpack_from("<I", data, at // 2)[0] & 0x0FFFFFFF
            return None if value >= 0x0FFFFFF8 else value
        value = struct.unpack_from("<H", data, at // 2)[0]
        if bits == 16:
            return None if value >= 0xFFF8 else value
        value = value >> 4 if at & 1 else value & 0xFFF
        return None if value >= 0xFF8 else value

    def _read_page(self, page: int) -> bytes:
        at = page * _PAGE
        length = min(_PAGE, self._bytes - at)
        return self._device.read_at(self._layout.table + at, length) + bytes(1)
