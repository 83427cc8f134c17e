"""A box that the store takes and nothing boots."""

from __future__ import annotations

import platform
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ARCH = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())


def kernel() -> bytes:
    """The least that passes for a bzImage: its header (Documentation/arch/x86/boot.rst)."""
    head = bytearray(0x400)
    head[0x1F1] = 1
    struct.pack_into("<I", head, 0x1F4, 32)
    struct.pack_into("<H", head, 0x1FE, 0xAA55)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x020F)
    head[0x211] = 1
    struct.pack_into("<I", head, 0x22C, 0x7FFFFFFF)
    struct.pack_into("<IB", head, 0x230, 1 << 21, 1)
    struct.pack_into("<I", head, 0x238, 2047)
    struct.pack_into("<QI", head, 0x258, 1 << 24, 1 << 24)
    return bytes(head) + bytes(512)


def box_folder(parent: Path, *, version: str = "1") -> Path:
    """What ``vx box add`` takes: tiny@VERSION for this host."""
    folder = parent / f"tiny-{version}"
    folder.mkdir()
    (folder / "vmlinuz").write_bytes(kernel() + version.encode())
    (folder / "box.toml").write_text(
        f'name = "tiny"\nversion = "{version}"\narch = "{ARCH}"\nkernel = "vmlinuz"\n'
        'description = "A box\\nfor tests"\nuser = "vx"\n',
        encoding="utf-8",
    )
    return folder
