"""The header of an arm64 kernel, plain or as distributions compress it.

Layout: Documentation/arch/arm64/booting.rst of the Linux kernel; "zimg" is an EFI program that
unpacks itself (drivers/firmware/efi/libstub/zboot-header.S).
"""

from __future__ import annotations

import struct

from vagrantish.formats import sniff

_CMDLINE_MAX = 2047  # COMMAND_LINE_SIZE of arch/arm64, less the final NUL
_HEADER_BYTES = 64


class KernelError(ValueError):
    """Not an arm64 kernel; the text is fit for the user."""


def cmdline_max(head: bytes, size_bytes: int) -> int:
    """Bytes the kernel that starts with ``head`` takes as a command line. Raises KernelError."""
    if head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")) or head[4:8] == b"zimg":
        return _CMDLINE_MAX  # compressed: what unpacks it will see
    if len(head) < _HEADER_BYTES or head[0x38:0x3C] != b"ARM\x64":
        what = sniff.describe(head[: sniff.HEAD_BYTES])
        raise KernelError(f"it is {what}, not an arm64 Linux kernel")
    (image_size,) = struct.unpack_from("<Q", head, 0x10)
    # What it takes in memory, data that starts out as zeros included.
    if image_size and not size_bytes // 16 <= image_size < 1 << 32:
        raise KernelError("its header is damaged")
    return _CMDLINE_MAX
