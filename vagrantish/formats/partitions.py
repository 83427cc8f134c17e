"""The partitions of a disk image: GPT, and MBR with its logical partitions.

Layouts: UEFI specification chapter 5, and block/partitions/msdos.c of Linux.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.formats.device import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vagrantish.formats.device import Device

ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
XBOOTLDR = "bc13c2ff-59e6-4262-a352-b275fd6f7172"
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"

_SECTOR = 512
_PROTECTIVE = 0xEE
_EXTENDED = (0x05, 0x0F, 0x85)
_LOGICAL_MAX = 128
_ARRAY_MAX = 1 << 20
_GPT_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_GPT_ENTRY = struct.Struct("<16s16sQQQ72s")


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A stretch of a disk. ``start`` and ``size`` are bytes."""

    number: int  # as in /dev/vda1
    start: int
    size: int
    type: str  # GPT: the type's GUID in lower case; MBR: "0x83"
    name: str = ""  # GPT only
    uuid: str = ""  # PARTUUID, as blkid prints it


@dataclass(frozen=True, kw_only=True)
class _Slot:
    type: int
    start: int  # sectors, against what the table says
    count: int


def partitions(device: Device) -> tuple[Partition, ...]:
    """In the order of their numbers; none where a file system fills the disk.

    An extended partition is not listed, its logical ones are. Hybrid ISO images lay partitions
    over one another and are refused: look for a file system on the whole device first.
    Raises ImageError for tables that are damaged or do not fit the disk.
    """
    if device.size < 2 * _SECTOR:
        return ()
    sector = device.read_at(0, _SECTOR)
    slots = _slots(sector)
    if slots is None or _is_fat(sector):
        return ()
    if any(slot.type == _PROTECTIVE for slot in slots):
        found = _gpt(device, slots)
    else:
        found = tuple(_mbr(device, slots, struct.unpack_from("<I", sector, 440)[0]))
    _check(found, device.size)
    return found


def _check(found: Sequence[Partition], size: int) -> None:
    end = 0
    for part in sorted(found, key=lambda part: (part.start, part.number)):
        if part.start < end:
            raise ImageError(f"its partition {part.number} overlaps another", offset=part.start)
        end = part.start + part.size
        if end > size:
            raise ImageError(
                f"its partition {part.number} ends at byte {end}, and the disk has {size}"
            )


def _slots(sector: bytes) -> tuple[_Slot, ...] | None:
    """The four entries of an MBR or of a link in a chain of logical partitions; None if not one."""
    if sector[510:] != b"\x55\xaa":
        return None
    slots = []
    for at in range(446, 510, 16):
        status, kind, start, count = struct.unpack_from("<B3xB3xII", sector, at)
        if status & 0x7F:
            return None
        slots.append(_Slot(type=kind, start=start, count=count))
    return tuple(slots)


def _is_fat(sector: bytes) -> bool:
    """Whether a file system starts here: its boot code ends in 55 aa too, where slots would be."""
    if sector[3:11] in (b"NTFS    ", b"EXFAT   "):
        return True
    bytes_per_sector, per_cluster, reserved, fats = struct.unpack_from("<HBHB", sector, 11)
    return (
        sector[0] in (0xEB, 0xE9)
        and bytes_per_sector in (512, 1024, 2048, 4096)
        and per_cluster.bit_count() == 1
        and reserved > 0
        and fats in (1, 2)
        and (sector[21] >= 0xF8 or sector[21] == 0xF0)
    )


def _mbr(device: Device, slots: Sequence[_Slot], disk_id: int) -> Iterator[Partition]:
    used = [(number, slot) for number, slot in enumerate(slots, 1) if slot.type and slot.count]
    logical = 5
    for number, slot in used:
        if slot.type not in _EXTENDED:
            yield _mbr_partition(number, slot.start, slot, disk_id)
    for _, slot in used:
        if slot.type in _EXTENDED:
            for start, inner in _chain(device, slot):
                yield _mbr_partition(logical, start, inner, disk_id)
                logical += 1


def _mbr_partition(number: int, start: int, slot: _Slot, disk_id: int) -> Partition:
    if not start:
        raise ImageError(f"its partition {number} starts on the partition table")
    return Partition(
        number=number,
        start=start * _SECTOR,
        size=slot.count * _SECTOR,
        type=f"0x{slot.type:02x}",
        uuid=f"{disk_id:08x}-{number:02x}" if disk_id else "",
    )


def _chain(device: Device, extended: _Slot) -> Iterator[tuple[int, _Slot]]:
    """(first sector on the disk, slot) of the logical partitions in an extended one."""
    here: int | None = extended.start
    seen: set[int] = set()
    while here is not None:
        if here in seen or len(seen) >= _LOGICAL_MAX:
            raise ImageError("its logical partitions lead round in circles", offset=here * _SECTOR)
        seen.add(here)
        slots = _slots(device.read_at(here * _SECTOR, _SECTOR))
        if slots is None and here == extended.start:
            return  # made, and never filled
        if slots is None:
            raise ImageError("a logical partition has no table", offset=here * _SECTOR)
        further = None
        for slot in (slot for slot in slots[:2] if slot.type and slot.count):
            if slot.type in _EXTENDED:
                further = _within(extended, extended.start + slot.start, 1)
            else:
                yield _within(extended, here + slot.start, slot.count), slot
        here = further


def _within(extended: _Slot, start: int, count: int) -> int:
    if not extended.start < start <= extended.start + extended.count - count:
        raise ImageError("a logical partition leaves its extended one", offset=start * _SECTOR)
    return start


def _gpt(device: Device, slots: Sequence[_Slot]) -> tuple[Partition, ...]:
    """By the first of the headers that is whole, tables included."""
    first: ImageError | None = None
    for at, sector in _header_places(device, slots):
        try:
            return _gpt_at(device, at, sector)
        except ImageError as error:
            first = first or error
    raise first or ImageError("it is too small for the GPT it claims to have")


def _header_places(device: Device, slots: Sequence[_Slot]) -> Iterator[tuple[int, int]]:
    """(byte of a header, bytes of a sector): the first ones, then where backups may be.

    A disk that was enlarged has its backup where it ended before: the first header names the
    place, and so does the size of the protective partition.
    """
    for sector in (512, 4096):
        if device.size >= 2 * sector and device.read_at(sector, 8) == b"EFI PART":
            yield sector, sector
    for sector in (512, 4096):
        places = [device.size // sector - 1]
        places += [slot.start + slot.count - 1 for slot in slots if slot.type == _PROTECTIVE]
        if device.size >= 2 * sector:
            places.append(struct.unpack("<Q", device.read_at(sector + 32, 8))[0])
        for place in dict.fromkeys(places):
            at = place * sector
            if sector < at <= device.size - sector and device.read_at(at, 8) == b"EFI PART":
                yield at, sector


def _gpt_at(device: Device, at: int, sector: int) -> tuple[Partition, ...]:
    block = device.read_at(at, sector)
    _, _, size, crc, _, here, _, first, last, _, array, count, step, array_crc = (
        _GPT_HEADER.unpack_from(block)
    )
    if not _GPT_HEADER.size <= size <= sector:
        raise ImageError(f"its GPT has a header of {size} bytes", offset=at)
    if zlib.crc32(block[:16] + bytes(4) + block[20:size]) != crc or here * sector != at:
        raise ImageError("its GPT is damaged: the header's checksum is wrong", offset=at)
    if step < 128 or step.bit_count() != 1 or count * step > _ARRAY_MAX:
        raise ImageError(f"its GPT claims {count} entries of {step} bytes", offset=at)
    entries = device.read_at(array * sector, count * step)
    if zlib.crc32(entries) != array_crc:
        raise ImageError(
            "its GPT is damaged: the entries' checksum is wrong", offset=array * sector
        )
    found = []
    for number, entry_at in enumerate(range(0, len(entries), step), 1):
        kind, unique, start, end, _, name = _GPT_ENTRY.unpack_from(entries, entry_at)
        if not any(kind):
            continue
        if not max(first, 2) <= start <= end <= last:  # the tables themselves come before
            raise ImageError(f"its partition {number} lies outside what its GPT allows", offset=at)
        found.append(
            Partition(
                number=number,
                start=start * sector,
                size=(end - start + 1) * sector,
                type=str(uuid.UUID(bytes_le=kind)),
                name=name.decode("utf-16-le", "replace").partition("\0")[0],
                uuid=str(uuid.UUID(bytes_le=unique)),
            )
        )
    return tuple(found)
