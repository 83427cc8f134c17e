"""Compressed data read back, pulled from files and pushed in pieces; cut short, joined, hostile."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import shutil
import subprocess
import tracemalloc
from itertools import cycle
from typing import TYPE_CHECKING

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from vagrantish.formats.unpack import Unpacked, Unpacker, UnpackError, is_compressed

if TYPE_CHECKING:
    from collections.abc import Callable

_CHANCE = random.Random(3)
CONTENT = b"".join(
    part
    for number in range(60)
    for part in (b"line %d of many\n" % number * 40, _CHANCE.randbytes(900), bytes(4000))
)
SKIPPED = b"\x53\x2a\x4d\x18\x05\0\0\0abcde"
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
}
PROGRAMS = [
    ("gzip", "-c"), ("gzip", "-9nc"), ("bzip2", "-c"), ("xz", "-c"), ("xz", "-9ec", "--block-size=8192"),
    ("lzma", "-c"), ("zstd", "-qc"), ("zstd", "-qc", "-19", "--no-check"), ("zstd", "-qc", "--fast=9"),
]  # fmt: skip
every_format = pytest.mark.parametrize("form", PACK)


def pulled(data: bytes, size: int = 5000) -> tuple[bytes, bytes]:
    """The content, and what the file holds after it."""
    file = io.BytesIO(data)
    unpacked = Unpacked(file)
    pieces = []
    while piece := unpacked.read(size):
        assert len(piece) <= size
        pieces.append(piece)
    assert unpacked.read(size) == b""
    return b"".join(pieces), file.read()


def pushed(data: bytes, step: int = 1 << 16) -> bytes:
    unpacker = Unpacker()
    pieces: list[bytes] = []
    for start in range(0, len(data), step):
        pieces.extend(unpacker.feed(data[start : start + step]))
    unpacker.finish()
    return b"".join(pieces)


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_what_the_programs_pack_comes_back(program: tuple[str, ...]) -> None:
    if shutil.which(program[0]) is None:
        pytest.skip(f"needs {program[0]}")
    packed = subprocess.run(program, input=CONTENT, capture_output=True, check=True).stdout

    assert is_compressed(packed)
    assert pulled(packed) == (CONTENT, b"")
    assert pushed(packed) == CONTENT


@every_format
@pytest.mark.parametrize("size", [1, 4096, 1 << 20])
def test_no_read_gives_more_than_was_asked_for(form: str, size: int) -> None:
    content = CONTENT if size > 1 else CONTENT[:2000]

    assert pulled(PACK[form](content), size) == (content, b"")


@every_format
def test_members_that_follow_each_other_are_one(form: str) -> None:
    pack = PACK[form]
    joined = pack(CONTENT) + pack(b"") + pack(b"between") + pack(CONTENT)

    assert pulled(joined) == (CONTENT + b"between" + CONTENT, b"")
    assert pushed(joined) == CONTENT + b"between" + CONTENT


@every_format
def test_zeros_between_and_after_members_are_padding(form: str) -> None:
    pack = PACK[form]
    padded = pack(b"one") + bytes(200_000) + pack(b"two")

    assert pulled(padded) == (b"onetwo", b"")
    assert pushed(padded + bytes(9)) == b"onetwo"
    assert pulled(padded + bytes(9)) == (b"onetwo", bytes(9))


@every_format
@settings(max_examples=15, deadline=None)
@given(steps=st.lists(st.integers(1, 3000), min_size=1, max_size=5))
def test_the_size_of_the_pieces_does_not_matter(form: str, steps: list[int]) -> None:
    left = PACK[form](CONTENT[:30_000]) + PACK[form](CONTENT[:5])
    unpacker, got = Unpacker(), b""
    for step in cycle(steps):
        got += b"".join(unpacker.feed(left[:step]))
        left = left[step:]
        if not left:
            break
    unpacker.finish()

    assert got == CONTENT[:30_000] + CONTENT[:5]


@every_format
@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_what_is_cut_short_is_noticed(form: str, share: float) -> None:
    packed = PACK[form](CONTENT)
    cut = packed[: int(share * len(packed))]

    with pytest.raises(UnpackError, match="cut short"):
        pulled(cut)
    with pytest.raises(UnpackError, match="cut short"):
        pushed(cut)


@every_format
def test_a_file_stands_after_the_last_member_and_a_stream_refuses_what_follows(form: str) -> None:
    packed = PACK[form](CONTENT)
    for rest in (
        b"070701 and more",
        b"\0\0\0rest",
        b"\x1f",
        PACK["xz" if form != "xz" else "gzip"](b"other"),
    ):
        assert pulled(packed + rest) == (CONTENT, rest)
        with pytest.raises(UnpackError, match="something else"):
            pushed(packed + rest)


def test_frames_to_be_skipped_are_skipped() -> None:
    packed = SKIPPED + zstd.compress(b"one") + SKIPPED + SKIPPED + zstd.compress(b"two") + SKIPPED

    assert is_compressed(packed)
    assert pulled(packed) == (b"onetwo", b"")
    assert pushed(packed, 3) == b"onetwo"


@pytest.mark.parametrize("data", [b"", b"plain text", b"QFI\xfb", bytes(100)])
def test_what_is_not_compressed_is_refused(data: bytes) -> None:
    assert not is_compressed(data)

    for read in (pulled, pushed):
        with pytest.raises(UnpackError):
            read(data)


@every_format
def test_damage_inside_is_noticed(form: str) -> None:
    packed = bytearray(PACK[form](CONTENT))
    packed[len(packed) // 2 : len(packed) // 2 + 200] = bytes(200)

    with pytest.raises(UnpackError, match=r"damaged|cut short"):
        pulled(bytes(packed))


@pytest.mark.parametrize(
    "head",
    [
        b"\x5d\0\0\0\x80" + b"\xff" * 8 + bytes(50),  # a dictionary of 2 GiB
        b"\x28\xb5\x2f\xfd\x00\xa0" + b"\x09\0\0a" + bytes(50),  # a window of 1 GiB
    ],
    ids=["lzma", "zstd"],
)
def test_data_that_wants_much_memory_is_refused(head: bytes) -> None:
    with pytest.raises(UnpackError, match="damaged"):
        pulled(head)


@every_format
def test_a_bomb_is_unpacked_in_small_pieces(form: str) -> None:
    bomb = PACK[form](bytes(64 << 20))
    tracemalloc.start()

    biggest = total = 0
    unpacker = Unpacker()
    for piece in unpacker.feed(bomb):
        biggest = max(biggest, len(piece))
        total += len(piece)
    unpacker.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (total, biggest) == (64 << 20, 1 << 20)
    assert peak < 16 << 20


def test_members_without_end_that_hold_nothing_are_refused() -> None:
    packed = zstd.compress(b"x") + SKIPPED[:4] + bytes(4)

    assert pushed(packed) == b"x"
    with pytest.raises(UnpackError, match="empty members"):
        pushed(packed + (SKIPPED[:4] + bytes(4)) * 100_001)
