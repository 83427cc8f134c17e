"""Whether a kernel and an initrd can be loaded, as xhyve's kexec loader finds out."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.fakes.hyve.model import Firmware, Flavour

_PAGE = 4096
_MIB = 1 << 20
_LOWMEM_LIMIT = 3 << 30  # xhyve src/vmm/vmm_api.c:100
_HEADER_END = 0x268  # the setup header as xhyve declares it ends here
_CMDLINE_AT = 0x4000
_OLDEST_PROTOCOL = 0x020A


class Loading(Enum):
    GOOD = "good"
    BAD_KERNEL = "bad kernel"
    BAD_INITRD = "bad initrd"
    OVERLAP = "the initrd lies over the kernel"


@dataclass(frozen=True)
class _Kernel:
    end: int  # in guest memory
    initrd_max: int


def loading_of(firmware: Firmware, memory_bytes: int, flavour: Flavour) -> Loading:
    """xhyve src/firmware/kexec.c:97-257."""
    lowmem = min(memory_bytes, _LOWMEM_LIMIT)
    kernel = _kernel_of(firmware.kernel, len(os.fsencode(firmware.cmdline)), lowmem)
    if kernel is None:
        return Loading.BAD_KERNEL
    if not firmware.initrd:
        return Loading.GOOD
    size = _readable_size(firmware.initrd)
    if not size:
        return Loading.BAD_INITRD
    if flavour is Flavour.OLD:  # right behind the kernel, and there the room is checked
        return Loading.BAD_INITRD if kernel.end + size > lowmem else Loading.GOOD
    ceiling = min(kernel.initrd_max, lowmem - 1)
    return Loading.OVERLAP if (ceiling - size) // _PAGE * _PAGE < kernel.end else Loading.GOOD


def _kernel_of(path: str, cmdline_length: int, lowmem: int) -> _Kernel | None:
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEADER_END)
            size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError):
        return None
    if len(head) < _HEADER_END or size < _HEADER_END:
        return None
    (setup_sects,) = struct.unpack_from("<B", head, 0x1F1)
    (syssize,) = struct.unpack_from("<I", head, 0x1F4)
    (boot_flag,) = struct.unpack_from("<H", head, 0x1FE)
    (version,) = struct.unpack_from("<H", head, 0x206)
    (loadflags,) = struct.unpack_from("<B", head, 0x211)
    initrd_max, alignment = struct.unpack_from("<II", head, 0x22C)
    (relocatable,) = struct.unpack_from("<B", head, 0x234)
    (cmdline_size,) = struct.unpack_from("<I", head, 0x238)
    (pref_address,) = struct.unpack_from("<Q", head, 0x258)
    (init_size,) = struct.unpack_from("<I", head, 0x260)
    payload_at = (setup_sects + 1) * 512
    if (
        setup_sects == 0
        or boot_flag != 0xAA55
        or head[0x202:0x206] != b"HdrS"
        or version < _OLDEST_PROTOCOL
        or not loadflags & 1
        or size < payload_at + syssize * 16
    ):
        return None
    room = -(-init_size // _PAGE) * _PAGE
    start = _aligned(_MIB, alignment) if relocatable else pref_address
    if start < _MIB or size - payload_at > room or start + room > lowmem or size == payload_at:
        return None
    if cmdline_length + 1 > cmdline_size or _CMDLINE_AT + cmdline_length + 1 > start:
        return None
    return _Kernel(end=start + room, initrd_max=initrd_max)


def _aligned(value: int, alignment: int) -> int:
    """xhyve's ALIGNUP, in which an alignment of 0 comes to 0."""
    return ((value - 1) & ~(alignment - 1) & 0xFFFFFFFF) + alignment if alignment else 0


def _readable_size(path: str) -> int | None:
    try:
        with Path(path).open("rb") as file:
            return os.fstat(file.fileno()).st_size
    except (OSError, ValueError):
        return None
