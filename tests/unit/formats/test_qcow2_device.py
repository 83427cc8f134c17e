"""qcow2 images made in memory, read cluster by cluster; and those that lie about themselves."""

from __future__ import annotations

import dataclasses
import struct
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.bytesdevice import BytesDevice
from tests.fakes.qcow2image import KINDS, Shape, build
from vagrantish.formats.device import ImageError
from vagrantish.formats.qcow2 import Qcow2Error
from vagrantish.formats.qcow2.device import Qcow2Device
from vagrantish.formats.qcow2.tables import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN = Shape(clusters=("data", "hole", "zero", "compressed", "compressed", "data"))


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    parts = draw(st.booleans())
    kinds: tuple[str, ...] = (*KINDS, "parts") if parts else KINDS
    version = 3 if parts else draw(st.sampled_from([2, 3]))
    if version == 2:
        kinds = ("hole", "data", "compressed")
    return Shape(
        clusters=tuple(draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=150))),
        cluster_bits=14 if parts else draw(st.sampled_from([9, 10, 12])),
        version=version,
        zstd=version == 3 and draw(st.booleans()),
        parts=parts,
        backing=draw(st.booleans()),
        short_bytes=draw(st.sampled_from([0, 1, 300])),
    )


def opened(shape: Shape, image: bytes) -> Qcow2Device:
    backing = BytesDevice(b"b" * (len(shape.clusters) << shape.cluster_bits))
    return Qcow2Device(BytesDevice(image), backing=backing if shape.backing else None)


@settings(max_examples=60, deadline=None)
@given(shape=shapes(), data=st.data())
def test_every_stretch_of_a_disk_reads_as_what_its_clusters_say(
    shape: Shape, data: st.DataObject
) -> None:
    image, disk = build(shape)
    device = opened(shape, image)

    assert device.size == len(disk)
    assert device.read_at(0, len(disk)) == disk
    for _ in range(4):
        start = data.draw(st.integers(0, len(disk)))
        length = data.draw(st.integers(0, len(disk) - start))
        assert device.read_at(start, length) == disk[start : start + length]


def test_neighbours_in_the_file_are_one_extent() -> None:
    image, _ = build(Shape(clusters=("data",) * 70 + ("hole",) * 700 + ("data",) * 3))

    extents = list(Qcow2Device(BytesDevice(image)).extents(512, 773 * 512))

    assert [(extent.kind, extent.start // 512, extent.length // 512) for extent in extents] == [
        (Kind.DATA, 1, 69),
        (Kind.HOLE, 70, 700),
        (Kind.DATA, 770, 3),
    ]


def test_beyond_a_short_backing_file_there_are_zeros() -> None:
    image, _ = build(Shape(clusters=("hole", "zero", "hole", "hole"), backing=True))

    device = Qcow2Device(BytesDevice(image), backing=BytesDevice(b"b" * 1300))

    assert device.read_at(0, 2048) == b"b" * 512 + bytes(512) + b"b" * 276 + bytes(748)


def test_data_beyond_the_end_of_the_file_is_zeros() -> None:
    image, disk = build(Shape(clusters=("data", "data")))

    device = Qcow2Device(BytesDevice(image[:-400]))

    assert device.read_at(0, 1024) == disk[:-400] + bytes(400)


def test_a_backing_file_is_only_read_when_the_image_names_one() -> None:
    image, disk = build(PLAIN)

    device = Qcow2Device(BytesDevice(image), backing=BytesDevice(b"b" * len(disk)))

    assert device.read_at(0, len(disk)) == disk


def test_an_image_over_another_is_refused_without_it() -> None:
    image, _ = build(dataclasses.replace(PLAIN, backing=True))

    with pytest.raises(Qcow2Error, match="backing file"):
        Qcow2Device(BytesDevice(image))


def test_what_lies_outside_the_disk_is_refused() -> None:
    image, disk = build(PLAIN)

    with pytest.raises(ImageError, match="in all"):
        Qcow2Device(BytesDevice(image)).read_at(len(disk) - 1, 2)


def test_threads_may_read_one_disk() -> None:
    image, disk = build(Shape(clusters=("compressed", "data", "zero") * 300))
    device = Qcow2Device(BytesDevice(image))
    wrong: list[int] = []

    def read(step: int) -> None:
        wrong.extend(
            start
            for start in range(0, len(disk) - 700, step)
            if device.read_at(start, 700) != disk[start : start + 700]
        )

    threads = [threading.Thread(target=read, args=(step,)) for step in (333, 512, 707, 900)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_cluster_read_in_small_pieces_is_unpacked_once() -> None:
    class Counting(BytesDevice):
        read = 0

        def read_at(self, offset: int, length: int) -> bytes:
            self.read += length
            return super().read_at(offset, length)

    image, disk = build(Shape(clusters=("compressed",) * 8, cluster_bits=16))
    file = Counting(image)
    device = Qcow2Device(file)

    pieces = [device.read_at(start, 1000) for start in range(0, len(disk) - 1000, 1000)]

    assert b"".join(pieces) == disk[: len(pieces) * 1000]
    assert file.read < 112 + 8 + 65536 + 8 * 1024


def patched(image: bytes, at: int, layout: str, *values: int) -> bytes:
    changed = bytearray(image)
    struct.pack_into(layout, changed, at, *values)
    return bytes(changed)


L1, L2 = 512, 1024  # where PLAIN has its tables
LIES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut in the header": (lambda image: image[:100], "cut short"),
    "cut in its tables": (lambda image: image[: L2 + 100], "where none can be"),
    "cut in a compressed cluster": (lambda image: image[:2080], "damaged or cut short"),
    "header over the tables": (lambda image: patched(image, 40, ">Q", 0), "first table"),
    "first table askew": (lambda image: patched(image, 40, ">Q", 520), "first table"),
    "first table outside": (lambda image: patched(image, 40, ">Q", 1 << 40), "cut short"),
    "second table askew": (
        lambda image: patched(image, L1, ">Q", 1 << 63 | 1536 + 512 * 7 + 1024 * 512),
        "where none can be",
    ),
    "cluster askew": (
        lambda image: patched(patched(image, 20, ">I", 10), L2, ">Q", 512),
        "at byte",
    ),
    "zero in version 2": (lambda image: patched(image, 4, ">I", 2), "version 2"),
    "more than 64 TiB": (
        lambda image: (
            patched(image, 20, ">IQIIQ", 16, 65 << 40, 0, 1 << 20, 1 << 16) + bytes(9 << 20)
        ),
        "are the most",
    ),
    "a first table for nobody": (lambda image: patched(image, 36, ">I", 1 << 30), "no image needs"),
    "unknown compression": (
        lambda image: patched(patched(image, 72, ">Q", 8), 104, ">B", 9),
        "does not know",
    ),
    "compression it does not announce": (lambda image: patched(image, 104, ">B", 1), "contradicts"),
    "parts of clusters too small": (lambda image: patched(image, 72, ">Q", 16), "too small"),
    "corrupt": (lambda image: patched(image, 72, ">Q", 2), "corrupt"),
    "data elsewhere": (lambda image: patched(image, 72, ">Q", 4), "another file"),
    "encrypted": (lambda image: patched(image, 32, ">I", 1), "encrypted"),
    "unknown feature": (lambda image: patched(image, 72, ">Q", 1 << 20), "does not know"),
}


@pytest.mark.parametrize("name", LIES)
def test_an_image_that_lies_is_refused(name: str) -> None:
    image, disk = build(PLAIN)
    lie, why = LIES[name]

    with pytest.raises(Qcow2Error, match=why):
        Qcow2Device(BytesDevice(lie(image))).read_at(0, len(disk))


def test_a_damaged_cluster_is_named_by_its_place() -> None:
    image, disk = build(Shape(clusters=("compressed",) * 3))
    damaged = bytearray(image)
    damaged[1536] ^= 0xFF

    with pytest.raises(Qcow2Error, match=r"at byte 1536, .*damaged") as caught:
        Qcow2Device(BytesDevice(bytes(damaged))).read_at(0, len(disk))

    assert caught.value.offset == 1536


def test_a_cluster_that_unpacks_to_more_than_itself_is_cut_there() -> None:
    image, disk = build(Shape(clusters=("compressed",), cluster_bits=12))
    l2 = 2 << 12
    (entry,) = struct.unpack_from(">Q", image, l2)
    smaller = patched(patched(image, 20, ">I", 11), 24, ">Q", 2048)
    smaller = patched(smaller, l2, ">Q", 1 << 62 | entry & 0xFFFFF)

    assert Qcow2Device(BytesDevice(smaller)).read_at(0, 2048) == disk[:2048]


@pytest.mark.parametrize("bits", [(1, 1), (0, 1)])
def test_a_map_of_parts_that_contradicts_itself_is_refused(bits: tuple[int, int]) -> None:
    image, _ = build(Shape(clusters=("hole", "data"), cluster_bits=14, parts=True))
    place = 3 << 14 if bits == (1, 1) else 0

    with pytest.raises(Qcow2Error, match="contradicts itself"):
        Qcow2Device(BytesDevice(patched(image, 2 << 14, ">QII", place, *bits))).read_at(0, 512)


def test_tables_used_again_and_again_are_refused_before_they_are_read() -> None:
    image, _ = build(Shape(clusters=("zero",) * 64))
    many = bytearray(image + bytes(4096))
    struct.pack_into(">Q", many, 24, 600 * 64 * 512)
    struct.pack_into(">IQ", many, 36, 600, 1536)
    many += bytes(1536 + 600 * 8 - len(many))
    for index in range(600):
        struct.pack_into(">Q", many, 1536 + index * 8, 1024)

    with pytest.raises(Qcow2Error, match="tables overlap"):
        Qcow2Device(BytesDevice(bytes(many)))


def test_a_first_table_with_room_to_spare_is_taken() -> None:
    image, disk = build(PLAIN)

    device = Qcow2Device(BytesDevice(patched(image, 36, ">I", 30)))

    assert device.read_at(0, len(disk)) == disk
