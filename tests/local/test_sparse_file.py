"""Files written sparse: what they hold, and the room they take."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vagrantish.formats.sparse import BLOCK, SparseFile, filled

if TYPE_CHECKING:
    from pathlib import Path

    from hypothesis.strategies import SearchStrategy

PIECES: SearchStrategy[bytes] = st.builds(
    lambda before, data, after: bytes(before) + data + bytes(after),
    st.integers(0, 3 * BLOCK),
    st.binary(max_size=20),
    st.sampled_from([0, 1, BLOCK - 1, BLOCK, 5 * BLOCK]),
)


@settings(max_examples=200, deadline=None)
@given(data=PIECES | st.lists(PIECES, max_size=4).map(b"".join), offset=st.integers(0, 3 * BLOCK))
def test_what_is_left_out_is_zeros_and_every_whole_zero_block_is(data: bytes, offset: int) -> None:
    rebuilt = bytearray(len(data))
    end = 0

    for begin, stop in filled(data, offset):
        assert end <= begin < stop <= len(data)
        rebuilt[begin:stop] = data[begin:stop]
        for block in range(-offset % BLOCK, len(data) - BLOCK + 1, BLOCK):
            if begin <= block < stop:
                assert any(data[block : block + BLOCK])
        end = stop

    assert rebuilt == data


@settings(max_examples=30, deadline=None)
@given(pieces=st.lists(PIECES, max_size=6))
def test_a_file_holds_what_was_written(
    pieces: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("sparse") / "file"

    with SparseFile(path) as file:
        for piece in pieces:
            file.write(piece)
        file.finish()

    assert path.read_bytes() == b"".join(pieces)
    assert file.size == path.stat().st_size


def test_zeros_take_no_room_and_lone_blocks_only_their_own(tmp_path: Path) -> None:
    path = tmp_path / "file"

    with SparseFile(path) as file:
        for _ in range(64):
            file.write(bytes(3 * BLOCK + 100) + b"x" + bytes(BLOCK * 252 - 101) + b"y" * BLOCK)
        file.write(bytes(40 << 20))
        file.finish()

    assert path.stat().st_size == 104 << 20
    assert path.stat().st_blocks * 512 <= 64 * 2 * BLOCK + (64 << 10)


def test_places_may_be_written_in_any_order_and_the_size_given_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"

    with SparseFile(path) as file:
        file.write_at(9000, b"later")
        file.write_out(0, 10_000)
        file.write_at(5, b"first")
        file.finish(20_000)

    assert path.read_bytes() == (bytes(5) + b"first").ljust(9000, b"\0") + b"later" + bytes(10_995)


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"precious")

    with pytest.raises(FileExistsError):
        SparseFile(path)

    assert path.read_bytes() == b"precious"


def test_a_new_file_heeds_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with SparseFile(tmp_path / "file"):
            pass
    finally:
        os.umask(before)

    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
