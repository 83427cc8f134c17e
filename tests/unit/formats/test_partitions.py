"""Partition tables built by hand, for what no tool will write."""

from __future__ import annotations

import struct
import uuid
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.bytesdevice import BytesDevice
from vagrantish.formats.device import ImageError
from vagrantish.formats.partitions import LINUX, partitions

SECTORS = 4096
KIND = uuid.UUID(LINUX).bytes_le


def mbr(*slots: tuple[int, int, int], status: int = 0, disk_id: int = 0x1234ABCD) -> bytes:
    """``slots``: (type, first sector, sectors)."""
    table = b"".join(struct.pack("<B3xB3xII", status, *slot) for slot in slots)
    return bytes(440) + struct.pack("<IH", disk_id, 0) + table.ljust(64, b"\0") + b"\x55\xaa"


def gpt(
    *parts: tuple[int, int], step: int = 128, count: int = 128, sector: int = 512, first: int = 34
) -> BytesDevice:
    """``parts``: (first sector, last sector)."""
    entries = b"".join(
        struct.pack("<16s16sQQQ72s", KIND, bytes([n] * 16), start, last, 0, b"").ljust(step, b"\0")
        for n, (start, last) in enumerate(parts, 1)
    ).ljust(step * count, b"\0")
    header = struct.pack(
        "<8sIIIIQQQQ16sQIII",
        b"EFI PART", 0x10000, 92, 0, 0, 1, SECTORS - 1, first, SECTORS - 34, bytes(16), 2,
        count, step, zlib.crc32(entries),
    )  # fmt: skip
    header = header[:16] + struct.pack("<I", zlib.crc32(header)) + header[20:]
    start = mbr((0xEE, 1, SECTORS - 1)).ljust(sector, b"\0")
    data = start + header.ljust(sector, b"\0") + entries
    return BytesDevice(data.ljust(SECTORS * sector, b"\0"))


def disk(sector: bytes, *others: tuple[int, bytes]) -> BytesDevice:
    data = bytearray(sector.ljust(SECTORS * 512, b"\0"))
    for number, other in others:
        data[number * 512 : number * 512 + len(other)] = other
    return BytesDevice(bytes(data))


@pytest.mark.parametrize(
    "device",
    [BytesDevice(b""), BytesDevice(bytes(511)), disk(b""), disk(b"XFSB"), disk(mbr())],
)
def test_without_a_table_there_are_none(device: BytesDevice) -> None:
    assert partitions(device) == ()


def test_boot_code_with_anything_where_slots_would_be_is_no_table() -> None:
    assert partitions(disk(mbr((0x83, 100, 100), status=0x41))) == ()


@pytest.mark.parametrize("name", [b"NTFS    ", b"EXFAT   "])
def test_other_file_systems_that_fill_the_disk_are_no_table(name: bytes) -> None:
    sector = mbr((0x07, 100, 100))

    assert partitions(disk(sector[:3] + name + sector[11:])) == ()


def test_the_jump_of_grub_is_no_fat() -> None:
    sector = b"\xeb\x63\x90" + mbr((0x83, 100, 100))[3:]

    (found,) = partitions(disk(sector))

    assert (found.start, found.size, found.type) == (51200, 51200, "0x83")
    assert found.uuid == "1234abcd-01"


def test_a_disk_without_a_number_gives_its_partitions_none() -> None:
    (found,) = partitions(disk(mbr((0x83, 100, 100), disk_id=0)))

    assert found.uuid == ""


@pytest.mark.parametrize(
    ("slots", "words"),
    [
        ([(0x83, 100, 100), (0x83, 199, 10)], "partition 2 overlaps another"),
        ([(0x83, 100, SECTORS)], "partition 1 ends at byte"),
        ([(0x83, 0, 100)], "starts on the partition table"),
    ],
)
def test_an_mbr_that_cannot_be_is_refused(slots: list[tuple[int, int, int]], words: str) -> None:
    with pytest.raises(ImageError, match=words):
        partitions(disk(mbr(*slots)))


def test_an_extended_partition_that_was_never_filled_holds_nothing() -> None:
    assert partitions(disk(mbr((0x05, 100, 100)))) == ()


@pytest.mark.parametrize(
    "inner",
    [
        [(0x83, 50, 60)],
        [(0x83, 0, 60)],
        [(0x83, 1, 10), (0x05, 101, 10)],
        [(0x83, 1, 10), (0x05, 0xFFFFFFFF, 10)],
    ],
)
def test_logical_partitions_stay_in_their_extended_one(inner: list[tuple[int, int, int]]) -> None:
    with pytest.raises(ImageError, match="leaves its extended one"):
        partitions(disk(mbr((0x05, 100, 100)), (100, mbr(*inner))))


def test_logical_partitions_that_lead_round_in_circles_are_refused() -> None:
    first, second = mbr((0x83, 1, 10), (0x05, 50, 20)), mbr((0x82, 2, 10), (0x05, 20, 20))
    third = mbr((0x83, 1, 10), (0x05, 50, 20))

    with pytest.raises(ImageError, match="round in circles"):
        partitions(disk(mbr((0x0F, 100, 100)), (100, first), (150, second), (120, third)))


def test_two_logical_partitions_are_numbered_from_five() -> None:
    first, second = mbr((0x83, 1, 10), (0x05, 50, 20)), mbr((0x82, 2, 10))

    found = partitions(disk(mbr((0x0F, 100, 100)), (100, first), (150, second)))

    assert [(p.number, p.start // 512, p.size // 512) for p in found] == [
        (5, 101, 10),
        (6, 152, 10),
    ]


@pytest.mark.parametrize("sector", [512, 4096])
def test_a_gpt_of_either_sector_size_is_read(sector: int) -> None:
    one, two = partitions(gpt((2048, 2147), (34, 133), sector=sector))

    assert (one.number, one.start, one.size) == (1, 2048 * sector, 100 * sector)
    assert (two.number, two.start, two.size) == (2, 34 * sector, 100 * sector)
    assert two.type == LINUX
    assert two.uuid == "02020202-0202-0202-0202-020202020202"


@pytest.mark.parametrize(
    ("device", "words"),
    [
        (gpt((34, 133), (133, 200)), "partition 2 overlaps another"),
        (gpt((34, SECTORS - 33)), "outside what its GPT allows"),
        (gpt((33, 100)), "outside what its GPT allows"),
        (gpt((200, 100)), "outside what its GPT allows"),
        (gpt((0, 100), first=0), "outside what its GPT allows"),
        (gpt((34, 133), step=64 + 32), "entries of 96 bytes"),
        (gpt(count=1 << 14), "claims 16384 entries"),
        (disk(mbr((0xEE, 1, SECTORS - 1))), "too small for the GPT"),
    ],
)
def test_a_gpt_that_cannot_be_is_refused(device: BytesDevice, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        partitions(device)


@given(at=st.integers(512, 512 + 91), bit=st.integers(0, 7))
def test_no_bit_of_the_header_can_change_unseen(at: int, bit: int) -> None:
    whole = gpt((34, 133))
    data = bytearray(whole.read_at(0, whole.size))
    data[at] ^= 1 << bit

    with pytest.raises(ImageError):
        partitions(BytesDevice(bytes(data)))
