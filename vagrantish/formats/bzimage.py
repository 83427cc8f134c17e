"""The header of an x86 bzImage, checked as boot loaders do.

Layout: Documentation/arch/x86/boot.rst of the Linux kernel.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vagrantish.formats import sniff

HEADER_BYTES = 0x270
_PROTOCOL_MIN = 0x020A  # Linux 2.6.31: the first with init_size, which loaders without a BIOS need


class KernelError(ValueError):
    """Not a kernel that can be booted directly; the text is fit for the user."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    protocol: int  # 0x020f is 2.15
    cmdline_max: int  # bytes, without the final NUL


def parse(head: bytes, size_bytes: int) -> Kernel:
    """Judge the kernel whose first bytes (at least HEADER_BYTES, or all of it) are ``head``.

    Raises KernelError.
    """
    if len(head) < HEADER_BYTES or head[0x202:0x206] != b"HdrS":
        what = sniff.describe(head[: sniff.HEAD_BYTES])
        raise KernelError(f"it is {what}, not an x86 Linux kernel (bzImage)")
    (setup_sectors,) = struct.unpack_from("<B", head, 0x1F1)
    (system_size,) = struct.unpack_from("<I", head, 0x1F4)
    (boot_flag,) = struct.unpack_from("<H", head, 0x1FE)
    (protocol,) = struct.unpack_from("<H", head, 0x206)
    (load_flags,) = struct.unpack_from("<B", head, 0x211)
    if boot_flag != 0xAA55 or setup_sectors == 0:
        raise KernelError("its boot header is damaged")
    if protocol < _PROTOCOL_MIN:
        raise KernelError(
            f"it speaks boot protocol {protocol >> 8}.{protocol & 0xFF:02}, and 2.10 "
            "(Linux 2.6.31) is the oldest that can be booted directly"
        )
    if not load_flags & 1:
        raise KernelError("it is a zImage, an old kind of kernel that loads below 1 MiB")
    expected = (setup_sectors + 1) * 512 + system_size * 16
    if size_bytes < expected:
        raise KernelError(
            f"it is cut short: {size_bytes} bytes, and its header promises {expected}"
        )
    (cmdline_size,) = struct.unpack_from("<I", head, 0x238)
    return Kernel(
        protocol=protocol,
        # boot.rst counts the final NUL out, xhyve's loader counts it in: the safe reading.
        cmdline_max=max(cmdline_size, 1) - 1,
    )
