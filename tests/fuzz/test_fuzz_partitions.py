"""Damaged partition tables: partitions that fit their disk, or ImageError, soon and in bounds."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.budget import rounds
from tests.fuzz.damage import Damaged
from vagrantish.formats.device import ImageError
from vagrantish.formats.partitions import partitions

SECTORS = 512
SMALL = st.integers(0, 2 * SECTORS) | st.integers(0, (1 << 32) - 1)
TYPES = st.sampled_from([0, 5, 0x0F, 0x85, 0x83, 0x0C, 0xEE])
SLOTS = st.lists(st.tuples(TYPES, SMALL, SMALL), max_size=4)
# Tables at some sectors, so that chains of logical partitions find one another.
TABLES = st.dictionaries(st.integers(1, 40), SLOTS, max_size=6)
READ_MAX = 8 << 20


def table(slots: list[tuple[int, int, int]]) -> bytes:
    packed = b"".join(struct.pack("<4xB3xII", *slot) for slot in slots)
    return bytes(446) + packed.ljust(64, b"\0") + b"\x55\xaa"


def check(device: Damaged) -> None:
    try:
        found = partitions(device)
    except ImageError:
        found = ()
    ends = sorted((part.start, part.start + part.size) for part in found)
    assert all(0 < start < end <= device.size for start, end in ends)
    assert all(one[1] <= two[0] for one, two in pairwise(ends))
    assert len({part.number for part in found}) == len(found)
    assert device.was_read <= READ_MAX


@given(first=SLOTS, others=TABLES)
@settings(max_examples=rounds(300), deadline=2000)
def test_any_chain_of_tables_ends_in_bounds(
    first: list[tuple[int, int, int]], others: dict[int, list[tuple[int, int, int]]]
) -> None:
    disk = bytearray(SECTORS * 512)
    for sector, slots in {0: first, **others}.items():
        disk[sector * 512 : sector * 512 + 512] = table(slots)

    check(Damaged(bytes(disk), {}))


WORDS = st.integers(0, (1 << 64) - 1) | st.integers(0, 2 * SECTORS)


@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "size": st.integers(0, 600),
            "here": WORDS,
            "other": WORDS,
            "first": WORDS,
            "last": WORDS,
            "array": WORDS,
            "count": st.integers(0, (1 << 32) - 1) | st.integers(0, 300),
            "step": st.sampled_from([0, 1, 100, 128, 256, 4096, 1 << 31]),
        },
    ),
    parts=st.lists(st.tuples(WORDS, WORDS), max_size=8),
    flips=st.dictionaries(st.integers(0, 4096), st.binary(min_size=1, max_size=1), max_size=2),
    size=st.none() | st.integers(0, SECTORS * 512),
)
@settings(max_examples=rounds(300), deadline=2000)
def test_any_gpt_ends_in_bounds(
    fields: dict[str, int],
    parts: list[tuple[int, int]],
    flips: dict[int, bytes],
    size: int | None,
) -> None:
    entries = b"".join(
        struct.pack("<16s16sQQQ72s", b"k" * 16, b"u" * 16, *part, 0, b"n") for part in parts
    ).ljust(16384, b"\0")
    values = {
        "size": 92, "here": 1, "other": SECTORS - 1, "first": 34, "last": SECTORS - 34,
        "array": 2, "count": 128, "step": 128, **fields,
    }  # fmt: skip
    header = struct.pack(
        "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, values["size"], 0, 0, values["here"],
        values["other"], values["first"], values["last"], bytes(16), values["array"],
        values["count"], values["step"], zlib.crc32(entries[: values["count"] * values["step"]]),
    ).ljust(600, b"\0")  # fmt: skip
    crc = struct.pack("<I", zlib.crc32(header[: values["size"]]))
    disk = table([(0xEE, 1, SECTORS - 1)]) + (header[:16] + crc + header[20:512]) + entries

    check(Damaged(disk.ljust(SECTORS * 512, b"\0"), flips, size))
