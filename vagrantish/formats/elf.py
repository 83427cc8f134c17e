"""What a 64-bit little-endian ELF file needs: its libraries, a kernel module's modules.

Layout: elf(5).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = b"\x7fELF\x02\x01"
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB = 1, 5


class ElfError(ValueError):
    """Not an ELF file this reader understands."""


def is_elf(data: bytes) -> bool:
    return data.startswith(_MAGIC)


def needed(data: bytes) -> tuple[str, ...]:
    """The sonames of the libraries a program or library is linked with. Raises ElfError."""
    return tuple(_needed(data))


def module_info(data: bytes) -> dict[str, str]:
    """The ``key=value`` pairs of a kernel module's ``.modinfo``, the first of each key."""
    info: dict[str, str] = {}
    for pair in _section(data, b".modinfo").split(b"\0"):
        key, _, value = pair.decode("utf-8", "replace").partition("=")
        if key:
            info.setdefault(key, value)
    return info


def _needed(data: bytes) -> Iterator[str]:
    try:
        loads: list[tuple[int, int, int]] = []
        tags: list[tuple[int, int]] = []
        for kind, offset, address, size in _segments(data):
            if kind == _PT_LOAD:
                loads.append((offset, address, size))
            elif kind == _PT_DYNAMIC:
                if offset + size > len(data):
                    raise ElfError("damaged ELF file")
                tags = list(struct.iter_unpack("<qQ", data[offset : offset + size // 16 * 16]))
        strings = dict(tags).get(_DT_STRTAB)
        if strings is None:
            return
        base = next(
            offset + strings - address
            for offset, address, size in loads
            if address <= strings < address + size
        )
        for tag, value in tags:
            if tag == _DT_NEEDED:
                end = data.index(b"\0", base + value)
                yield data[base + value : end].decode()
    except (struct.error, StopIteration, ValueError) as error:
        raise ElfError("damaged ELF file") from error


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Type, file offset, address and size in the file of each program header."""
    if not is_elf(data):
        raise ElfError("not a 64-bit little-endian ELF file")
    (table,) = struct.unpack_from("<Q", data, 32)
    entry_size, count = struct.unpack_from("<HH", data, 54)
    for index in range(count):
        kind, _, offset, address, _, size = struct.unpack_from(
            "<IIQQQQ", data, table + index * entry_size
        )
        yield kind, offset, address, size


def _section(data: bytes, wanted: bytes) -> bytes:
    if not is_elf(data):
        raise ElfError("not a 64-bit little-endian ELF file")
    try:
        (table,) = struct.unpack_from("<Q", data, 40)
        entry_size, count, names_index = struct.unpack_from("<HHH", data, 58)
        headers = [
            struct.unpack_from("<IIQQQQ", data, table + index * entry_size)
            for index in range(count)
        ]
        names = headers[names_index][4]
        for name, _, _, _, offset, size in headers:
            if data.startswith(wanted + b"\0", names + name):
                return data[offset : offset + size]
    except (struct.error, IndexError) as error:
        raise ElfError("damaged ELF file") from error
    return b""
