"""Directory records of ISO 9660 and the Rock Ridge fields behind them.

Layout: ECMA-119, IEEE P1281 (SUSP) and P1282 (RRIP). What is stored in both byte orders is read
as little-endian.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vagrantish.formats.device import ImageError
from vagrantish.formats.volume import NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.formats.device import Device

SECTOR = 2048
FOLDER_MAX = 64 << 20  # bytes of one folder
_FOLDER, _ASSOCIATED, _MORE = 2, 4, 0x80  # flags of a record
_CONTINUATIONS_MAX = 32  # of the fields of one record
_FIELDS_MAX = 64 << 10  # bytes of them
_SL_CONTINUES = 1
_SL_WORDS = {2: ".", 4: "..", 8: ""}  # flag of a part of a link → what it stands for
_KINDS = {
    stat.S_IFREG: NodeKind.FILE,
    stat.S_IFDIR: NodeKind.FOLDER,
    stat.S_IFLNK: NodeKind.LINK,
}


@dataclass(frozen=True, kw_only=True)
class Record:
    kind: NodeKind
    name: bytes  # as in the record
    pieces: tuple[tuple[int, int], ...]  # byte and length of each
    more: bool = False  # the next record has the rest of the file
    skip: bool = False  # not for users
    fields: bytes = b""  # the system use area


@dataclass(frozen=True, kw_only=True)
class RockRidge:
    """What the fields of one record say."""

    name: bytes = b""
    kind: NodeKind | None = None
    mode: int = 0
    target: bytes = b""
    moved_to: int | None = None  # block of the folder this record stands for
    hidden: bool = False  # a folder that lies here only because it was too deep elsewhere
    compressed: bool = False


def records(device: Device, block: int, offset: int, length: int) -> Iterator[Record]:
    """All of a folder but "." and "..", files in several pieces made one. Raises ImageError."""
    if length > FOLDER_MAX:
        raise ImageError(f"a folder claims {length} bytes", offset=offset)
    waiting: Record | None = None
    for start in range(0, length, SECTOR):
        sector = device.read_at(offset + start, min(SECTOR, length - start))
        for record in _in_sector(sector, block):
            if record.name in (b"\0", b"\1"):
                continue
            if waiting and waiting.name != record.name:
                raise ImageError("a file in several pieces lacks the last one", offset=offset)
            whole = _joined(waiting, record) if waiting else record
            if record.more:
                waiting = whole
                continue
            waiting = None
            if not record.skip:
                yield whole
    if waiting:
        raise ImageError("a file in several pieces lacks the last one", offset=offset)


def first_record(device: Device, block: int, offset: int) -> Record:
    """The record "." of the folder that starts there. Raises ImageError."""
    sector = device.read_at(offset, min(SECTOR, device.size - offset) if offset >= 0 else 0)
    for record in _in_sector(sector, block):
        if record.name == b"\0" and record.kind is NodeKind.FOLDER:
            return record
        break
    raise ImageError("a folder does not start with itself", offset=offset)


def record_of(data: bytes, block: int) -> Record:
    """Raises ImageError when it contradicts itself."""
    if len(data) < 34 or 33 + data[32] > len(data):
        raise ImageError("a directory record is cut short")
    extended, start, size, flags, unit, gap, name_bytes = struct.unpack_from(
        "<BI4xI11xBBB4xB", data, 1
    )
    if unit or gap:
        raise ImageError("a file is stored interleaved, which vx cannot read")
    name_end = 33 + name_bytes
    return Record(
        kind=NodeKind.FOLDER if flags & _FOLDER else NodeKind.FILE,
        name=data[33:name_end],
        pieces=(((start + extended) * block, size),),
        more=bool(flags & _MORE),
        skip=bool(flags & _ASSOCIATED),
        fields=data[name_end + (name_bytes + 1) % 2 :],
    )


def _in_sector(sector: bytes, block: int) -> Iterator[Record]:
    position = 0
    while position < len(sector) and (length := sector[position]):
        yield record_of(sector[position : position + length], block)
        position += length


def _joined(first: Record, second: Record) -> Record:
    return replace(second, fields=first.fields, pieces=first.pieces + second.pieces)


def sharing_protocol_skip(fields: bytes) -> int | None:
    """Bytes to skip in every system use area, told by the "." of the root; None without one."""
    if fields.startswith(b"SP\x07\x01\xbe\xef") and len(fields) >= 7:
        return fields[6]
    return None


def rock_ridge(device: Device, block: int, fields: bytes) -> RockRidge:
    """Raises ImageError for fields that lead nowhere."""
    found = RockRidge()
    names: list[bytes] = []
    links: list[bytes] = []
    for signature, data in _fields(device, block, fields):
        if signature == b"NM" and data and not data[0] & 6:
            names.append(data[1:])
        elif signature == b"PX" and len(data) >= 8:
            mode = struct.unpack_from("<I", data)[0]
            kind = _KINDS.get(stat.S_IFMT(mode), NodeKind.OTHER)
            found = replace(found, kind=kind, mode=stat.S_IMODE(mode))
        elif signature == b"SL" and data:
            links.append(data[1:])
        elif signature == b"CL" and len(data) >= 8:
            found = replace(found, moved_to=struct.unpack_from("<I", data)[0])
        elif signature == b"RE":
            found = replace(found, hidden=True)
        elif signature == b"ZF":
            found = replace(found, compressed=True)
    return replace(found, name=b"".join(names), target=_link(b"".join(links)))


def _fields(device: Device, block: int, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(signature, data) of each, continued where they say they are."""
    budget = _FIELDS_MAX
    for _ in range(_CONTINUATIONS_MAX):
        position, following = 0, None
        while position + 4 <= len(data):
            signature, length = data[position : position + 2], data[position + 2]
            if length < 4 or position + length > len(data) or signature == b"ST":
                break
            field = data[position + 4 : position + length]
            if signature == b"CE" and len(field) >= 24:
                following = struct.unpack("<I4xI4xI4x", field[:24])
            else:
                yield signature, field
            position += length
        if following is None:
            return
        number, offset, length = following
        budget -= length
        if budget < 0:
            break
        data = device.read_at(number * block + offset, length)
    raise ImageError("the Rock Ridge fields of a file go on and on")


def _link(parts: bytes) -> bytes:
    """A path out of its parts: flags, length, text."""
    words: list[bytes] = []
    position, glue = 0, False
    while position + 2 <= len(parts):
        flags, length = parts[position], parts[position + 1]
        text = parts[position + 2 : position + 2 + length]
        word = next((w.encode() for bit, w in _SL_WORDS.items() if flags & bit), text)
        if glue:
            words[-1] += word
        else:
            words.append(word)
        glue = bool(flags & _SL_CONTINUES)
        position += 2 + length
    return b"/".join(words) or (b"/" if words else b"")
