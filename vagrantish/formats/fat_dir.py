"""Folders of FAT file systems: short and long names, and the label among them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.formats.device import ImageError
from vagrantish.formats.fat_table import label_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ENTRY = 32
_FREE, _KANJI = 0xE5, 0x05
_LABEL, _FOLDER, _LONG = 0x08, 0x10, 0x0F
_LOWER_BASE, _LOWER_EXTENSION = 0x08, 0x10
_LAST_PART, _PARTS_MAX = 0x40, 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    name: str
    short: str
    folder: bool
    label: bool
    cluster: int
    size: int


def entries(blocks: Iterable[bytes]) -> Iterator[Entry]:
    """Every entry of a folder, labels too, "." and ".." left out. Raises ImageError."""
    parts: list[bytes] = []  # of a long name, as they lie: the last one first
    for block in blocks:
        for at in range(0, len(block) - len(block) % ENTRY, ENTRY):
            raw = block[at : at + ENTRY]
            if not raw[0]:
                return
            if raw[0] == _FREE:
                parts = []
            elif raw[11] & 0x3F == _LONG:
                if raw[0] & _LAST_PART:
                    parts = []
                parts.append(raw)
            else:
                if raw[:11].rstrip(b" ") not in (b".", b".."):
                    yield _entry(raw, parts)
                parts = []


def _entry(raw: bytes, parts: list[bytes]) -> Entry:
    flags = raw[11]
    short = _short_name(raw)
    name = _long_name(raw, parts) or short
    label = bool(flags & _LABEL)
    if not label and ("/" in name or "\0" in name or name in ("", ".", "..")):
        raise ImageError("a FAT folder holds a name no file can have")
    high, low, size = struct.unpack_from("<H4xHI", raw, 20)
    return Entry(
        name=label_of(raw[:11]) if label else name,
        short=short,
        folder=bool(flags & _FOLDER),
        label=label,
        cluster=high << 16 | low,
        size=size,
    )


def _short_name(raw: bytes) -> str:
    """Linux and mtools keep a name all in lower case as upper case and a flag."""
    first = b"\xe5" if raw[0] == _KANJI else raw[:1]
    base = (first + raw[1:8]).decode("cp437").rstrip(" ")
    extension = raw[8:11].decode("cp437").rstrip(" ")
    base = base.lower() if raw[12] & _LOWER_BASE else base
    extension = extension.lower() if raw[12] & _LOWER_EXTENSION else extension
    return f"{base}.{extension}" if extension else base


def _long_name(raw: bytes, parts: list[bytes]) -> str:
    """ "" where the parts are not whole or belong to another entry."""
    count = len(parts)
    wanted = [number | (_LAST_PART if number == count else 0) for number in range(count, 0, -1)]
    checksum = 0
    for byte in raw[:11]:
        checksum = ((checksum >> 1 | checksum << 7) + byte) & 0xFF
    if (
        not 0 < count <= _PARTS_MAX
        or [part[0] for part in parts] != wanted
        or any(part[13] != checksum for part in parts)
    ):
        return ""
    text = b"".join(part[1:11] + part[14:26] + part[28:32] for part in reversed(parts))
    units = struct.unpack(f"<{len(text) // 2}H", text)
    end = units.index(0) if 0 in units else len(units)
    return text[: 2 * end].decode("utf-16-le", "replace")
