"""Compressed data with damage in it: what was packed, or the module's own error, in bounds."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import time
import tracemalloc

from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.budget import rounds
from vagrantish.formats.unpack import Unpacked, Unpacker, UnpackError

CONTENT = b"".join(b"%d and then " % (number * number) for number in range(3000)) + bytes(9000)
CHECKED: dict[int, int] = {zstd.CompressionParameter.checksum_flag: 1}
# Each with checksums, so that whatever is read to its end is right.
SEEDS = (
    gzip.compress(CONTENT, mtime=0) + gzip.compress(CONTENT, mtime=0),
    bz2.compress(CONTENT) + bz2.compress(CONTENT),
    lzma.compress(CONTENT) + bytes(8) + lzma.compress(CONTENT),
    zstd.compress(CONTENT, options=CHECKED) * 2,
)
UNCHECKED = (
    lzma.compress(CONTENT, format=lzma.FORMAT_ALONE),
    b"\x50\x2a\x4d\x18\3\0\0\0abc" + zstd.compress(CONTENT),
    gzip.compress(bytes(40 << 20)),
    zstd.compress(bytes(40 << 20)),
)
MAGICS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18", b"\x5d\0\0")
FLIPS = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), max_size=3)
TIME_MAX_S = 3


@st.composite
def damaged(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    data = bytearray(draw(st.sampled_from(seeds)))
    for place, change in draw(FLIPS):
        data[place % len(data)] ^= change
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


def pushed(data: bytes, step: int) -> bytes:
    unpacker = Unpacker()
    content = b"".join(
        piece
        for start in range(0, len(data), step)
        for piece in unpacker.feed(data[start : start + step])
    )
    unpacker.finish()
    return content


@settings(max_examples=rounds(100), deadline=None)
@given(data=damaged(SEEDS), step=st.sampled_from([100, 5000, 1 << 20]))
def test_damaged_data_with_checksums_is_right_or_refused(data: bytes, step: int) -> None:
    started = time.monotonic()

    try:
        content = pushed(data, step)
    except UnpackError:
        content = b""

    # Cut between its members, data is whole as far as anybody can tell.
    assert content in (b"", CONTENT, CONTENT + CONTENT)
    assert time.monotonic() - started < TIME_MAX_S


@settings(max_examples=rounds(50), deadline=None)
@given(
    data=damaged((*SEEDS, *UNCHECKED))
    | st.builds(bytes.__add__, st.sampled_from(MAGICS), st.binary())
)
def test_damaged_data_is_read_or_refused_in_bounds(data: bytes) -> None:
    started = time.monotonic()
    tracemalloc.start()
    file = io.BytesIO(data)

    total = 0
    try:
        unpacked = Unpacked(file)
        while piece := unpacked.read(1 << 16):
            assert len(piece) <= 1 << 16
            total += len(piece)
    except UnpackError:
        total = 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert file.tell() <= len(data)
    assert total <= 1200 * 42 * len(data)
    # xz and lzma may want a dictionary of any size up to the limit.
    assert peak < (264 if data.startswith((b"\xfd7z", b"\x5d")) else 16) << 20
    assert time.monotonic() - started < TIME_MAX_S
