"""The kernel's header is judged before a hypervisor stumbles over it."""

from __future__ import annotations

import struct

import pytest

from tests.fakes.tinybox import kernel
from vagrantish.formats import bzimage


def changed(offset: int, form: str, value: int) -> bytes:
    head = bytearray(kernel())
    struct.pack_into(form, head, offset, value)
    return bytes(head)


def parse(data: bytes) -> bzimage.Kernel:
    return bzimage.parse(data, len(data))


def test_a_kernel_says_what_it_takes() -> None:
    found = parse(kernel())

    assert found.protocol == 0x020F
    assert found.cmdline_max == 2046


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
