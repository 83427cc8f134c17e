"""Damaged FAT file systems: what is right, or ImageError, soon and in bounds."""

from __future__ import annotations

import random
import struct
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.budget import rounds
from tests.fuzz.damage import Damaged, look_around
from vagrantish.formats.fat import Fat

# Bits → (sectors in all, of a table, entries of the root). One sector is one cluster.
SHAPES = {12: (400, 2, 64), 16: (4600, 18, 64), 32: (600, 6, 0)}
READ_MAX = 600 << 20  # 200 files of at most 4 MiB are looked at
WORDS = st.integers(0, 0xFFFF) | st.sampled_from([0, 1, 2, 3, 5, 0xFFF7, 0xFFFF, 0x0FFF, 0x0F0F])


def entry(name: bytes, cluster: int, size: int, flags: int = 0x20) -> bytes:
    return struct.pack("<11sB8xH4xHI", name, flags, cluster >> 16, cluster & 0xFFFF, size)


def long_part(order: int, text: str, short: bytes) -> bytes:
    checksum = 0
    for byte in short:
        checksum = ((checksum >> 1 | checksum << 7) + byte) & 0xFF
    raw = (text + "\0").encode("utf-16-le").ljust(26, b"\xff")[:26]
    return (
        bytes([order]) + raw[:10] + bytes([0x0F, 0, checksum]) + raw[10:22] + b"\0\0" + raw[22:26]
    )


@cache
def image(bits: int) -> bytes:
    """A file over some clusters, a folder, and a file in it with a long name."""
    sectors, table_sectors, root_entries = SHAPES[bits]
    reserved = 4
    boot = bytearray(512)
    struct.pack_into("<HBHBHHBH", boot, 11, 512, 1, reserved, 1, root_entries, sectors, 0xF8,
                     0 if bits == 32 else table_sectors)  # fmt: skip
    if bits == 32:
        struct.pack_into("<I4xI", boot, 36, table_sectors, 2)
    boot[:3], boot[510:] = b"\xeb\x3c\x90", b"\x55\xaa"
    end = (1 << min(bits, 28)) - 1
    chains = {2: end, 3: 4, 4: 5, 5: 9, 9: end, 6: end, 7: end}
    table = bytearray(table_sectors * 512 + 4)
    for cluster, value in chains.items():
        at, shift = divmod(cluster * bits, 8)
        old = int.from_bytes(table[at : at + 4], "little")
        table[at : at + 4] = (old | value << shift & 0xFFFFFFFF).to_bytes(4, "little")
    top = (
        entry(b"LABEL      ", 0, 0, 8)
        + entry(b"FILE    TXT", 3, 2000)
        + entry(b"SUB        ", 6, 0, 16)
    )
    inner = entry(b".          ", 6, 0, 16) + entry(b"..         ", 0, 0, 16)
    inner += long_part(0x42, "ong-name", b"LONGNA~1TXT") + long_part(
        1, "a-very-very-l", b"LONGNA~1TXT"
    )
    inner += entry(b"LONGNA~1TXT", 7, 300)
    root = b"" if bits == 32 else top.ljust(root_entries * 32, b"\0")
    first = [top, b"f" * 512, b"f" * 512, b"f" * 512, inner, b"long" * 128]
    clusters = b"".join(part.ljust(512, b"\0") for part in first)
    start = bytes(boot).ljust(reserved * 512, b"\0") + table[: table_sectors * 512] + root
    return (start + clusters).ljust(sectors * 512, b"\0")


@cache
def places(bits: int) -> tuple[int, ...]:
    """Bytes that are not zeros."""
    return tuple(at for at, byte in enumerate(image(bits)) if byte)


def test_the_images_are_right_before_they_are_damaged() -> None:
    for bits in SHAPES:
        device = Damaged(image(bits), {})
        system = Fat(device)
        names = dict(system.children(system.root()))

        assert set(names) == {"FILE.TXT", "SUB"}
        assert system.label == "LABEL"
        assert sum(map(len, system.chunks(names["FILE.TXT"]))) == 2000
        assert [name for name, _ in system.children(names["SUB"])] == ["a-very-very-long-name"]


@given(
    bits=st.sampled_from(list(SHAPES)),
    words=st.lists(WORDS, max_size=8),
    seed=st.integers(0, 1 << 32),
    size=st.none() | st.integers(0, 300_000),
)
@settings(max_examples=rounds(300), deadline=None, suppress_health_check=list(HealthCheck))
def test_damage_anywhere_ends_in_bounds(
    bits: int, words: list[int], seed: int, size: int | None
) -> None:
    data = image(bits)
    pick = random.Random(seed)
    changes = {
        max(pick.choice(places(bits)) + pick.randrange(-2, 3), 0): struct.pack("<H", word)
        for word in words
    }

    look_around(Fat, Damaged(data, changes, size), read_max=READ_MAX)


@given(
    bits=st.sampled_from(list(SHAPES)),
    boot=st.dictionaries(st.integers(11, 90), st.binary(min_size=1, max_size=4), max_size=4),
    table=st.dictionaries(st.integers(0, 40), st.binary(min_size=1, max_size=4), max_size=6),
)
@settings(max_examples=rounds(300), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_start_or_table_ends_in_bounds(
    bits: int, boot: dict[int, bytes], table: dict[int, bytes]
) -> None:
    changes = {**boot, **{2048 + at: new for at, new in table.items()}}

    look_around(Fat, Damaged(image(bits), changes), read_max=READ_MAX)
