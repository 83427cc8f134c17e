"""Whether a file is a kernel QEMU can boot, told from its first bytes.

QEMU itself runs whatever it is given when the header is right, so a kernel cut short would hang
without a word.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Documentation/arch/x86/boot.rst in Linux: setup_sects at 0x1f1, syssize (in 16 bytes) at 0x1f4,
# "HdrS" at 0x202.
_BZIMAGE_MAGIC, _BZIMAGE_AT = b"HdrS", 0x202
_SETUP_SECTS_AT, _SYSSIZE_AT = 0x1F1, 0x1F4
_SECTOR = 512
_MULTIBOOT_MAGIC, _MULTIBOOT_WITHIN = struct.pack("<I", 0x1BADB002), 8192
_FOREIGN = (
    (0, b"\x1f\x8b", "it is compressed with gzip: unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "it is compressed with zstd: unpack it"),
    (0, b"\xfd7zXZ", "it is compressed with xz: unpack it"),
    (0x38, b"ARM\x64", "it is a kernel for arm64"),
    (0x30, b"RISCV", "it is a kernel for RISC-V"),
    (0x8001, b"CD001", "it is a CD image, which holds a kernel somewhere inside"),
    (0, b"QFI\xfb", "it is a qcow2 disk"),
)


def kernel_problem(path: Path) -> str:
    """What is wrong with the file as a kernel, for people; "" for nothing that shows."""
    try:
        with path.open("rb") as file:
            head = file.read(0x8010)
            file.seek(0, 2)
            size = file.tell()
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    if head[_BZIMAGE_AT : _BZIMAGE_AT + 4] == _BZIMAGE_MAGIC:
        (syssize,) = struct.unpack_from("<I", head, _SYSSIZE_AT)
        due = ((head[_SETUP_SECTS_AT] or 4) + 1) * _SECTOR + syssize * 16
        # The count is rounded up to 16 bytes, and the file need not be.
        return "" if size > due - 16 else f"it is cut short: {size} of {due} bytes"
    if head.startswith(b"\x7fELF") or _MULTIBOOT_MAGIC in head[:_MULTIBOOT_WITHIN]:
        return ""
    for offset, magic, text in _FOREIGN:
        if head[offset : offset + len(magic)] == magic:
            return text
    return "it has no header of a bzImage or vmlinux"
