"""ELF files: what they need, told as readelf tells it."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from vagrantish.formats import elf

PROGRAM = Path(sys.executable).resolve()
pytestmark = pytest.mark.skipif(
    not elf.is_elf(PROGRAM.read_bytes()[:8]), reason="this host's programs are not 64-bit ELF"
)


@pytest.mark.skipif(shutil.which("readelf") is None, reason="needs readelf")
@pytest.mark.parametrize("program", [PROGRAM, Path("/bin/sh"), Path("/usr/bin/ssh")])
def test_needed_libraries_are_those_readelf_tells(program: Path) -> None:
    if not program.exists():
        pytest.skip(f"there is no {program}")
    told = subprocess.run(["readelf", "-d", program], capture_output=True, check=True, text=True)

    assert list(elf.needed(program.read_bytes())) == re.findall(r"NEEDED.*\[(.*)\]", told.stdout)


def test_a_modules_needs_are_read_from_its_modinfo() -> None:
    info = b"depends=virtio,virtio_ring\0name=virtio_pci\0depends=again\0"

    found = elf.module_info(with_section(b".modinfo", info))

    assert found == {"depends": "virtio,virtio_ring", "name": "virtio_pci"}


def test_a_file_without_that_section_says_nothing() -> None:
    assert elf.module_info(with_section(b".other", b"depends=x\0")) == {}


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh", b"\x7fELF\x01\x01" + bytes(100)])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(elf.ElfError):
        elf.needed(data)
    with pytest.raises(elf.ElfError):
        elf.module_info(data)


@pytest.mark.parametrize("length", [16, 60, 100, 1000, 5000])
def test_a_cut_program_is_an_error_and_no_crash(length: int) -> None:
    data = Path("/bin/sh").read_bytes()[:length]

    with pytest.raises(elf.ElfError, match="damaged"):
        elf.needed(data)


def with_section(name: bytes, content: bytes) -> bytes:
    """The least ELF file with one section besides the table of names."""
    names = b"\0" + name + b"\0.shstrtab\0"
    start = 64
    table = start + len(content) + len(names)
    head = b"\x7fELF\x02\x01\x01".ljust(40, b"\0") + struct.pack("<Q", table)
    head = head.ljust(58, b"\0") + struct.pack("<HHH", 64, 3, 2)
    sections = [
        (0, 0, 0, 0, 0, 0),
        (1, 1, 0, 0, start, len(content)),
        (2 + len(name), 3, 0, 0, start + len(content), len(names)),
    ]
    rows = b"".join(struct.pack("<IIQQQQ", *section).ljust(64, b"\0") for section in sections)
    return head.ljust(64, b"\0") + content + names + rows
