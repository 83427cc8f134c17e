"""What of a box does not fit where a provider loads it. Pure.

For QEMU x86_load_linux in hw/i386/x86.c and pc_q35_init in hw/i386/pc_q35.c, for xhyve
src/firmware/kexec.c say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from vagrantish.units import GIB, MIB, format_size

if TYPE_CHECKING:
    from vagrantish.formats.bzimage import Kernel

_PAGE = 4096


class Provider(StrEnum):
    QEMU = "qemu"
    XHYVE = "xhyve"


@dataclass(frozen=True)
class _Low:
    """The memory below 4 GiB."""

    most: int  # the most there can be of it
    split_at: int  # a machine with as much memory or more has less of it:
    split: int
    reserved: int  # at its end, where no initrd may lie

    def of(self, memory_bytes: int | None) -> int:
        if memory_bytes is None or memory_bytes < self.split_at:
            return min(self.most, memory_bytes or self.most)
        return self.split


_LOW = {
    Provider.QEMU: _Low(2816 * MIB - _PAGE, 2816 * MIB, 2 * GIB, 0x28000),
    Provider.XHYVE: _Low(3 * GIB, 3 * GIB, 3 * GIB, 0),
}


def problems(
    kernel: Kernel, initrd_bytes: int, cmdline: str, memory_bytes: int | None, provider: Provider
) -> tuple[str, ...]:
    """Why that provider cannot boot a machine of these; nothing when it can.

    ``initrd_bytes`` is 0 without one. Without ``memory_bytes``: whatever memory a machine has.
    """
    low = _LOW[provider].of(memory_bytes)
    length = len(cmdline.encode("utf-8", "surrogateescape"))
    found = [_cmdline(kernel, length, provider), _header(kernel, provider)]
    if kernel.end > low:
        found.append(
            f"{_name(kernel)} unpacks itself in the first {format_size(kernel.end)} of memory, and "
            f"{_there_is(low, memory_bytes)}"
        )
    elif initrd_bytes:
        ceiling = min(_ceiling(kernel, provider), low - _LOW[provider].reserved - 1)
        # Both loaders put it as high as they can, and neither looks whether the kernel is there.
        if initrd_bytes + _PAGE > ceiling - kernel.end:
            found.append(
                f"the initrd is {format_size(initrd_bytes)}, and above the first "
                f"{format_size(kernel.end)}, which are the kernel's, there is room for "
                f"{format_size(max(0, ceiling - kernel.end - _PAGE))}"
            )
    return tuple(text for text in found if text)


def memory_needed(kernel: Kernel, initrd_bytes: int, unpacked_bytes: int) -> int:
    """The least with which the kernel can unpack itself and its initrd; nothing else runs then."""
    return kernel.end + initrd_bytes + unpacked_bytes


def _name(kernel: Kernel) -> str:
    return f"kernel {kernel.release.split()[0]}" if kernel.release.strip() else "the kernel"


def _cmdline(kernel: Kernel, size: int, provider: Provider) -> str:
    # xhyve counts the final NUL in, boot.rst counts it out.
    most = kernel.cmdline_size - (provider is Provider.XHYVE)
    if size <= most:
        return ""
    return f"the command line has {size} bytes, and at most {most} can be given to that kernel"


def _header(kernel: Kernel, provider: Provider) -> str:
    """What of it only xhyve goes by (xhyve src/firmware/kexec.c:97-122)."""
    if provider is not Provider.XHYVE:
        return ""
    if not 0 < kernel.system_size <= kernel.init_size:
        return "the kernel's header asks for less memory than the kernel itself takes"
    is_power_of_2 = kernel.alignment > 0 and not kernel.alignment & (kernel.alignment - 1)
    if kernel.start < MIB or (kernel.relocatable and not is_power_of_2):
        return "the kernel's header names no place in memory where it can be put"
    return ""


def _ceiling(kernel: Kernel, provider: Provider) -> int:
    if provider is Provider.QEMU and kernel.initrd_above_2g:
        return 4 * GIB - 1
    return kernel.initrd_addr_max


def _there_is(low: int, memory_bytes: int | None) -> str:
    if memory_bytes is not None and low == memory_bytes:
        return f"there are {format_size(low)}"
    return f"at most {format_size(low)} of a machine's lie in one piece there"
