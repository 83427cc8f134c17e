from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from vagrantish.provider.qemu.kernels import kernel_problem

if TYPE_CHECKING:
    from pathlib import Path


def bzimage(*, body: int = 16_000, setup_sectors: int = 3) -> bytes:
    head = bytearray((setup_sectors + 1) * 512)
    head[0x1F1] = setup_sectors
    struct.pack_into("<I", head, 0x1F4, body // 16)
    head[0x202:0x206] = b"HdrS"
    return bytes(head) + b"\x90" * body


@pytest.mark.parametrize(
    "content",
    [
        bzimage(),
        bzimage() + b"signature",
        bzimage()[:-15],  # the size is counted in 16 bytes
        b"\x7fELF" + b"\0" * 100,
        b"\0" * 64 + struct.pack("<I", 0x1BADB002) + b"\0" * 100,
    ],
)
def test_what_qemu_boots_passes(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "kernel"
    file.write_bytes(content)

    assert kernel_problem(file) == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no header"),
        (b"hello\n" * 1000, "no header"),
        (bzimage()[:-100], "cut short: 17948 of 18048 bytes"),
        (bzimage()[:0x206], "cut short"),
        (b"\x1f\x8b" + b"\0" * 100, "gzip"),
        (b"\x28\xb5\x2f\xfd" + b"\0" * 100, "zstd"),
        (b"\xfd7zXZ\0" + b"\0" * 100, "xz"),
        (b"\0" * 0x38 + b"ARM\x64" + b"\0" * 100, "arm64"),
        (b"\0" * 0x30 + b"RISCV" + b"\0" * 100, "RISC-V"),
        (b"\0" * 0x8001 + b"CD001" + b"\0" * 100, "CD image"),
        (b"QFI\xfb" + b"\0" * 100, "qcow2"),
    ],
)
def test_what_qemu_does_not_boot_is_named_for_what_it_is(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "kernel"
    file.write_bytes(content)

    assert reason in kernel_problem(file)


def test_a_missing_kernel_or_a_folder_is_said_so(tmp_path: Path) -> None:
    assert "No such file" in kernel_problem(tmp_path / "none")
    assert "directory" in kernel_problem(tmp_path)
