"""The kernel's header is judged before a hypervisor stumbles over it."""

from __future__ import annotations

import struct

import pytest

from tests.fakes.tinybox import kernel
from vagrantish.formats import bzimage
from vagrantish.units import MIB


def changed(offset: int, form: str, value: int) -> bytes:
    head = bytearray(kernel())
    struct.pack_into(form, head, offset, value)
    return bytes(head)


def parse(data: bytes) -> bzimage.Kernel:
    return bzimage.parse(data, len(data))


def test_a_kernel_says_what_it_takes() -> None:
    found = parse(kernel())

    assert found.protocol == 0x020F
    assert found.cmdline_size == 2047
    assert found.system_size == 512
    assert found.initrd_addr_max == 0x7FFFFFFF
    assert not found.initrd_above_2g
    assert found.release == ""


@pytest.mark.parametrize(
    ("relocatable", "alignment", "preferred", "start", "end"),
    [
        (1, 16 * MIB, 16 * MIB, 16 * MIB, 32 * MIB),
        (1, 2 * MIB, 16 * MIB, 2 * MIB, 32 * MIB),  # it moves itself up
        (1, 32 * MIB, 16 * MIB, 32 * MIB, 48 * MIB),
        (0, 2 * MIB, 1 * MIB, 1 * MIB, 17 * MIB),
        (1, 0, 16 * MIB, 1 * MIB, 32 * MIB),
    ],
)
def test_its_place_in_memory_is_where_loaders_and_itself_put_it(
    relocatable: int, alignment: int, preferred: int, start: int, end: int
) -> None:
    head = bytearray(kernel())
    struct.pack_into("<IB", head, 0x230, alignment, relocatable)
    struct.pack_into("<QI", head, 0x258, preferred, 16 * MIB - 4095)  # whole pages count

    found = parse(bytes(head))

    assert (found.start, found.end) == (start, end)


def test_a_64_bit_kernel_says_that_its_initrd_may_lie_high() -> None:
    assert parse(changed(0x236, "<H", 0x7F)).initrd_above_2g


@pytest.mark.parametrize(
    ("pointer", "release"),
    [
        (0x300, "6.1.0-50-cloud-amd64 (debian) #1 SMP"),
        (0, ""),
        (0xFFFF, ""),  # beyond the file
        (0x100, ""),  # not text
    ],
)
def test_its_release_is_told_where_it_can_be_read(pointer: int, release: str) -> None:
    text = b"6.1.0-50-cloud-amd64 (debian) #1 SMP\0"
    head = bytearray(changed(0x20E, "<H", pointer))
    head[0x300:0x303] = b"\xff\n\0"
    head[0x500 : 0x500 + len(text)] = text

    assert parse(bytes(head)).release == release


def test_one_byte_less_than_promised_is_cut_short() -> None:
    with pytest.raises(bzimage.KernelError, match=r"cut short: 1535 bytes.* 1536"):
        parse(kernel()[:-1])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (changed(0x206, "<H", 0x0209), r"boot protocol 2\.09"),
        (changed(0x211, "<B", 0), "zImage"),
        (changed(0x1FE, "<H", 0), "damaged"),
        (changed(0x1F1, "<B", 0), "damaged"),
        (b"", "an empty file"),
        (b"\x7fELF" + bytes(1000), "an ELF file"),
        (b"\x1f\x8b\x08" + bytes(1000), "a gzip file"),
        (b"\n <!doctype HTML><title>404" + b" " * 1000, "an HTML page"),
        (b"MZ" + bytes(0x36) + b"ARM\x64" + bytes(1000), "an arm64 Linux kernel"),
        (b"MZ\0\0zimg" + bytes(1000), "zboot"),
        (b"MZ" + bytes(1000), "an EFI program"),
        (bytes(2000), "nothing but zero bytes"),
        (b"just text\n" * 100, "a text file"),
        (b"#!/bin/sh\n", "a script"),
        (bytes(range(1, 256)) * 4, "of no kind vx knows"),
    ],
)
def test_what_is_no_bzimage_is_called_by_its_name(data: bytes, why: str) -> None:
    with pytest.raises(bzimage.KernelError, match=why):
        parse(data)
