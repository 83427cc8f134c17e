"""The header of an x86 bzImage, checked as boot loaders do.

Layout: Documentation/arch/x86/boot.rst of the Linux kernel.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vagrantish.formats import sniff

HEADER_BYTES = 0x270
HEAD_BYTES = 1 << 16  # as much of a kernel as `parse` wants to see: its release lies behind code
_PROTOCOL_MIN = 0x020A  # Linux 2.6.31: the first with init_size, which loaders without a BIOS need
_LOADED_HIGH = 1
_ABOVE_4G = 2  # of xloadflags: XLF_CAN_BE_LOADED_ABOVE_4G
_LOAD_MIN = 1 << 20
_PAGE = 4096
_RELEASE_MAX = 256


class KernelError(ValueError):
    """Not a kernel that can be booted directly; the text is fit for the user."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """Sizes and addresses are bytes."""

    protocol: int  # 0x020f is 2.15
    release: str  # "6.1.0-50-cloud-amd64 (debian-kernel@…) #1 SMP …"; "" where it does not tell
    cmdline_size: int  # without the final NUL
    system_size: int  # what is loaded above 1 MiB: all that follows its setup code
    relocatable: bool
    alignment: int  # of where it may be put, if it is relocatable
    start: int  # where a loader puts that
    preferred: int  # where it moves itself to, if that is further up
    init_size: int  # what it needs there to unpack itself, in whole pages
    initrd_addr_max: int  # the highest byte an initrd may have
    initrd_above_2g: bool  # it may lie higher, whatever initrd_addr_max says

    @property
    def end(self) -> int:
        """Where other things may lie in memory (arch/x86/boot/compressed/head_64.S)."""
        return max(self.start, self.preferred) + self.init_size


def parse(head: bytes, size_bytes: int) -> Kernel:
    """Judge the kernel whose first bytes (at least HEADER_BYTES, or all of it) are ``head``.

    Its release may lie further on: it is told from what ``head`` holds. Raises KernelError.
    """
    if len(head) < HEADER_BYTES or head[0x202:0x206] != b"HdrS":
        what = sniff.describe(head[: sniff.HEAD_BYTES])
        raise KernelError(f"it is {what}, not an x86 Linux kernel (bzImage)")
    (setup_sectors,) = struct.unpack_from("<B", head, 0x1F1)
    (system_size,) = struct.unpack_from("<I", head, 0x1F4)
    (boot_flag,) = struct.unpack_from("<H", head, 0x1FE)
    protocol, release_at = struct.unpack_from("<H6xH", head, 0x206)
    (load_flags,) = struct.unpack_from("<B", head, 0x211)
    if boot_flag != 0xAA55 or setup_sectors == 0:
        raise KernelError("its boot header is damaged")
    if protocol < _PROTOCOL_MIN:
        raise KernelError(
            f"it speaks boot protocol {protocol >> 8}.{protocol & 0xFF:02}, and 2.10 "
            "(Linux 2.6.31) is the oldest that can be booted directly"
        )
    if not load_flags & _LOADED_HIGH:
        raise KernelError("it is a zImage, an old kind of kernel that loads below 1 MiB")
    setup_size = (setup_sectors + 1) * 512
    expected = setup_size + system_size * 16
    if size_bytes < expected:
        raise KernelError(
            f"it is cut short: {size_bytes} bytes, and its header promises {expected}"
        )
    initrd_addr_max, alignment, relocatable = struct.unpack_from("<IIB", head, 0x22C)
    flags, cmdline_size = struct.unpack_from("<HI", head, 0x236)
    preferred, init_size = struct.unpack_from("<QI", head, 0x258)
    return Kernel(
        protocol=protocol,
        release=_release(head, release_at),
        cmdline_size=cmdline_size,
        system_size=size_bytes - setup_size,
        relocatable=bool(relocatable),
        alignment=alignment,
        start=_up(_LOAD_MIN, alignment) if relocatable else preferred,
        preferred=preferred,
        init_size=_up(init_size, _PAGE),
        initrd_addr_max=initrd_addr_max,
        initrd_above_2g=protocol >= 0x020C and bool(flags & _ABOVE_4G),
    )


def _up(size: int, unit: int) -> int:
    return -(-size // unit) * unit if unit else size


def _release(head: bytes, pointer: int) -> str:
    """The pointer leaves out the first sector; a damaged one is not worth a complaint."""
    if not pointer:
        return ""
    text, end, _ = head[pointer + 0x200 : pointer + 0x200 + _RELEASE_MAX].partition(b"\0")
    return text.decode("ascii") if end and text.isascii() and text.decode().isprintable() else ""
