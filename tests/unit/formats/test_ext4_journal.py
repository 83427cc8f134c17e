"""Replaying a journal that was built by hand, for what no tool will write."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.bytesdevice import BytesDevice
from vagrantish.formats import ext4_super
from vagrantish.formats.device import ImageError
from vagrantish.formats.ext4_crc import SEED, crc32c, crc32c_each
from vagrantish.formats.ext4_map import Run
from vagrantish.formats.ext4_replay import replayed
from vagrantish.formats.ext4_super import Superblock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BLOCK = 1024
JOURNAL = 16  # its first block; it has as many
MAGIC = 0xC03B3998
SUPER = Superblock(
    block=BLOCK, blocks=64, inodes=8, inodes_per_group=8, blocks_per_group=8192,
    inode_bytes=128, first_block=1, descriptor_bytes=32, first_meta_group=0, compat=0,
    incompat=ext4_super.RECOVER, ro_compat=0, backup_groups=(0, 0), journal_inode=8,
    journal_device=0, label="", uuid="",
)  # fmt: skip


def head(kind: int, sequence: int) -> bytes:
    return struct.pack(">III", MAGIC, kind, sequence)


def change(sequence: int, writes: Mapping[int, bytes]) -> list[bytes]:
    """The blocks of one transaction."""
    tags, last = b"", len(writes) - 1
    for index, number in enumerate(writes):
        tags += struct.pack(">IHH", number, 0, (2 if index else 0) | (8 if index == last else 0))
        tags += b"" if index else bytes(16)
    return [head(1, sequence) + tags, *writes.values(), head(2, sequence)]


def device(
    blocks: Sequence[bytes], *, start: int, sequence: int, features: int = 0, end: int = 16
) -> BytesDevice:
    """``blocks`` lie in the journal from ``start`` on, round its end."""
    data = bytearray(64 * BLOCK)
    top = head(4, 0) + struct.pack(">IIIII", BLOCK, end, 1, sequence, start)
    data[JOURNAL * BLOCK : JOURNAL * BLOCK + len(top)] = top
    struct.pack_into(">II", data, JOURNAL * BLOCK + 0x28, features, 0)
    struct.pack_into(">I", data, JOURNAL * BLOCK + 0x54, 4)  # of fast commits, if there are any
    ring = end - 1 - (4 if features & 0x20 else 0)
    for index, block in enumerate(blocks):
        at = (JOURNAL + 1 + (start - 1 + index) % ring) * BLOCK
        data[at : at + len(block)] = block
    return BytesDevice(bytes(data))


def block(number: int, source: BytesDevice) -> tuple[bytes, tuple[str, ...]]:
    """What a block holds after the journal."""
    found, warnings = replayed(source, SUPER, 16 * BLOCK, [Run(0, JOURNAL, 16)])
    return found.read_at(number * BLOCK, BLOCK), warnings


def filled(letter: bytes) -> bytes:
    return letter * BLOCK


def test_a_journal_goes_on_at_its_beginning() -> None:
    blocks = change(7, {40: filled(b"a"), 41: filled(b"b")}) + change(8, {40: filled(b"c")})

    source = device(blocks, start=13, sequence=7)

    assert block(40, source) == (filled(b"c"), ())
    assert block(41, source) == (filled(b"b"), ())


def test_the_numbers_of_changes_start_again_after_the_highest() -> None:
    blocks = change(0xFFFFFFFF, {40: filled(b"a")}) + change(0, {41: filled(b"b")})

    assert block(41, device(blocks, start=1, sequence=0xFFFFFFFF))[0] == filled(b"b")


def test_an_old_change_further_on_does_not_count() -> None:
    blocks = change(7, {40: filled(b"a")}) + change(5, {40: filled(b"z")})

    assert block(40, device(blocks, start=1, sequence=7))[0] == filled(b"a")


def test_a_journal_full_to_the_brim_is_gone_round_once() -> None:
    blocks = [
        part for number in range(5) for part in change(7 + number, {40: filled(b"%d" % number)})
    ]

    assert block(40, device(blocks, start=4, sequence=7))[0] == filled(b"4")


def test_parts_of_replayed_blocks_are_read_as_well() -> None:
    source = device(change(7, {40: filled(b"a"), 42: filled(b"b")}), start=1, sequence=7)
    found, _ = replayed(source, SUPER, 16 * BLOCK, [Run(0, JOURNAL, 16)])

    data = found.read_at(40 * BLOCK - 10, 2 * BLOCK + 20)

    assert data == bytes(10) + filled(b"a") + bytes(BLOCK) + b"b" * 10
    assert found.read_at(40 * BLOCK + 5, 7) == b"a" * 7
    assert found.read_at(41 * BLOCK, 0) == b""


def test_a_write_outside_the_file_system_and_all_after_it_are_left_out() -> None:
    blocks = change(7, {40: filled(b"a")}) + change(8, {40: filled(b"b"), 64: filled(b"c")})
    source = device(blocks + change(9, {40: filled(b"d")}), start=1, sequence=7)

    found, (warning,) = block(40, source)

    assert found == filled(b"a")
    assert "damaged and were left out" in warning


@pytest.mark.parametrize(("start", "end"), [(16, 16), (1, 17), (1, 0), (20, 16)])
def test_a_journal_of_impossible_extent_is_refused(start: int, end: int) -> None:
    with pytest.raises(ImageError, match="do not fit each other"):
        block(40, device([], start=start, sequence=7, end=end))


def test_an_empty_journal_changes_nothing() -> None:
    source = device(change(7, {40: filled(b"a")}), start=0, sequence=7)

    assert block(40, source) == (bytes(BLOCK), ())


def test_fast_commits_after_the_last_change_are_told() -> None:
    fast = struct.pack("<HHII", 9, 8, 0, 8)
    source = device(change(7, {40: filled(b"a")}), start=1, sequence=7, features=0x20)
    data = bytearray(source.read_at(0, source.size))
    data[(JOURNAL + 12) * BLOCK : (JOURNAL + 12) * BLOCK + len(fast)] = fast

    found, warnings = block(40, BytesDevice(bytes(data)))

    assert found == filled(b"a")
    assert "fast commits" in warnings[0]
    assert block(40, source)[1] == ()


def test_a_journal_with_a_hole_is_refused() -> None:
    blocks = change(7, {40: filled(b"a")}) + change(8, {41: filled(b"b")})
    source = device(blocks, start=1, sequence=7)

    with pytest.raises(ImageError, match="block 5 is missing"):
        replayed(source, SUPER, 16 * BLOCK, [Run(0, JOURNAL, 5), Run(5, 0, 11)])


@given(data=st.binary(max_size=200), starts=st.lists(st.integers(0, SEED), min_size=1, max_size=40))
def test_many_checksums_at_once_are_those_of_each(data: bytes, starts: list[int]) -> None:
    size = len(data) // len(starts)
    data = data[: size * len(starts)]

    found = crc32c_each(starts, data)

    assert found == [crc32c(crc, data[n * size : (n + 1) * size]) for n, crc in enumerate(starts)]


def test_the_checksum_is_the_known_one() -> None:
    assert crc32c(SEED, b"123456789") ^ SEED == 0xE3069283
