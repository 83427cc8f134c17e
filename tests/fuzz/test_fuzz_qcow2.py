"""qcow2 images with damage in them: their bytes, or the module's own error, soon and in bounds."""

from __future__ import annotations

import errno
import struct
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.bytesdevice import BytesDevice
from tests.fakes.qcow2image import Shape, build
from tests.fuzz.budget import rounds
from vagrantish.formats.device import ImageError
from vagrantish.formats.qcow2.convert import convert_to_raw
from vagrantish.formats.qcow2.device import Qcow2Device

ALL = ("data", "hole", "zero", "compressed", "compressed", "data") * 12
SEEDS = tuple(
    build(shape)[0]
    for shape in (
        Shape(clusters=ALL),
        Shape(clusters=ALL, zstd=True),
        Shape(clusters=("data", "hole", "compressed") * 30, version=2),
        Shape(clusters=(*ALL[:6], "parts"), cluster_bits=14, parts=True, zstd=True),
    )
)
WORDS = st.integers(0, (1 << 64) - 1) | st.builds(
    lambda place, flags: place | flags,
    st.sampled_from([0, 512, 1024, 1536, 1 << 14, 1 << 16, 1 << 40, 0x00FF_FFFF_FFFF_FE00]),
    st.sampled_from([0, 1, 1 << 62, 1 << 63, 3 << 62, 0x3FFF << 48]),
)
# Which 8 bytes from the start on: of the header, of the first table, of the second ones.
PLACES = st.integers(1, 13) | st.integers(64, 66) | st.integers(128, 192) | st.integers(2048, 4200)
CHANGES = st.lists(st.tuples(PLACES, WORDS), max_size=4)
FLIPS = st.lists(st.tuples(st.integers(4, 1 << 20), st.integers(1, 255)), max_size=6)
PIECE = 1 << 20
TIME_MAX_S = 3


@st.composite
def images(draw: st.DrawFn) -> bytes:
    image = bytearray(draw(st.sampled_from(SEEDS)))
    for place, word in draw(CHANGES):
        struct.pack_into(">Q", image, place * 8 % (len(image) - 8), word)
    for place, change in draw(FLIPS):
        image[place % len(image)] ^= change
    if draw(st.booleans()):
        struct.pack_into(">Q", image, 24, draw(st.integers(1, 1 << 47)))
    if draw(st.booleans()):
        del image[draw(st.integers(0, len(image))) :]
    return bytes(image)


def ends_of(device: Qcow2Device) -> bytes:
    last = max(0, device.size - PIECE)
    return device.read_at(0, min(PIECE, device.size)) + device.read_at(last, device.size - last)


@settings(max_examples=rounds(150), deadline=None)
@given(images())
def test_damaged_images_are_read_or_refused(image: bytes) -> None:
    started = time.monotonic()

    with suppress(ImageError):
        assert len(ends_of(Qcow2Device(BytesDevice(image)))) <= 2 * PIECE

    assert time.monotonic() - started < TIME_MAX_S


@settings(max_examples=rounds(80), deadline=None)
@given(images())
def test_damaged_images_are_converted_to_what_they_read_as_or_refused(image: bytes) -> None:
    started = time.monotonic()

    with TemporaryDirectory() as folder:
        source, target = Path(folder, "image"), Path(folder, "raw")
        source.write_bytes(image)
        try:
            convert_to_raw(source, target)
        except ImageError:
            assert list(Path(folder).iterdir()) == [source]
        except OSError as error:
            if error.errno != errno.EFBIG:  # more than the file system here can hold
                raise
        else:
            with target.open("rb") as file:
                first = file.read(PIECE)
                file.seek(-min(PIECE, target.stat().st_size), 2)
                assert first + file.read() == ends_of(Qcow2Device(BytesDevice(image)))

    assert time.monotonic() - started < TIME_MAX_S


@settings(max_examples=rounds(40), deadline=None)
@given(images())
def test_damaged_images_take_little_memory(image: bytes) -> None:
    tracemalloc.start()

    with suppress(ImageError):
        ends_of(Qcow2Device(BytesDevice(image)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 24 << 20
