"""The records of a new ext4 image, where an image to show them would be too large."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from vagrantish.formats.ext4_make_layout import BLOCK, Blocks, layout_of
from vagrantish.formats.ext4_make_records import bitmap, extent_root, folder_data, node_blocks
from vagrantish.formats.ext4_map import Blocks as Map
from vagrantish.formats.ext4_map import extent_runs
from vagrantish.formats.volume import NodeKind


@given(counts=st.lists(st.integers(1, 32767), max_size=1360))
def test_extents_are_read_back_from_inode_and_nodes(counts: list[int]) -> None:
    extents = tuple((1000 + at * 40_000, count) for at, count in enumerate(counts))
    places = () if len(extents) <= 4 else ((90_000_000, -(-len(extents) // 340)),)
    nodes = node_blocks(extents, places)

    blocks = Map(size=BLOCK, count=1 << 32, read=dict(nodes).__getitem__)
    runs = list(extent_runs(blocks, extent_root(extents, nodes)))

    assert [(run.physical, run.count) for run in runs] == list(extents)
    assert [run.logical for run in runs] == [sum(counts[:at]) for at in range(len(counts))]
    assert all(len(node) == BLOCK for _, node in nodes)
    assert len(extent_root(extents, nodes)) == 60


@given(size=st.integers(8 << 20, (16 << 40) - BLOCK), inodes=st.integers(0, 100_000))
def test_every_layout_keeps_its_groups_apart(size: int, inodes: int) -> None:
    try:
        layout = layout_of(size, inodes)
    except ValueError:
        assert inodes > size // 4096  # no room for their inodes
        return

    last = layout.groups - 1
    assert layout.blocks * BLOCK <= size
    assert layout.inodes >= inodes + 11
    assert layout.inodes_per_group % 16 == 0
    assert layout.inodes_per_group <= 32768
    assert layout.end(last) == layout.blocks
    if last:
        assert layout.data(last) < layout.end(last)


def test_a_small_rest_is_left_off() -> None:
    whole = layout_of(1 << 30, 0)

    assert layout_of((1 << 30) + 200 * BLOCK, 0) == whole
    assert layout_of((1 << 30) + 3000 * BLOCK, 0).groups == whole.groups + 1


def test_blocks_are_given_out_once_and_around_the_tables() -> None:
    layout = layout_of(300 << 20, 0)
    blocks = Blocks(layout)

    first, second = blocks.take(40_000), blocks.take(10)

    assert first[0][0] == layout.data(0)
    assert first[1] == (layout.data(1), 40_000 - first[0][1])
    assert second == ((sum(first[1]), 10),)
    assert blocks.used_until(0) == layout.end(0)
    assert blocks.used_until(2) == layout.data(2)


def test_a_bitmap_has_its_bits_and_those_past_the_end() -> None:
    bits = bitmap(10, 32766)

    assert bits[:2] == b"\xff\x03"
    assert not any(bits[2:-1])
    assert bits[-1] == 0xC0


@given(st.lists(st.integers(1, 255), max_size=60))
def test_entries_of_folders_fill_their_blocks(lengths: list[int]) -> None:
    children = [(b"n" * length, 12, NodeKind.FILE) for length in lengths]

    data = folder_data(2, 2, children)

    at, names = 0, 0
    while at < len(data):
        inode, size, name_bytes = struct.unpack_from("<IHB", data, at)
        assert at // BLOCK == (at + size - 1) // BLOCK
        names += bool(inode and name_bytes)
        at += size
    assert at == len(data)
    assert len(data) % BLOCK == 0
    assert names == len(lengths) + 2
