"""ISO 9660 images, with the names of Rock Ridge, else of Joliet, else plain ones."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from vagrantish.formats import iso9660_records as records
from vagrantish.formats.device import ImageError
from vagrantish.formats.foldercache import FolderCache
from vagrantish.formats.iso9660_records import SECTOR
from vagrantish.formats.volume import Node, NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.formats.device import Device
    from vagrantish.formats.iso9660_records import Record, RockRidge

MAGIC = b"CD001"
MAGIC_OFFSET = 16 * SECTOR + 1
_PRIMARY, _SUPPLEMENTARY, _END = 1, 2, 255
_DESCRIPTORS_MAX = 64
_JOLIET = (b"%/@", b"%/C", b"%/E")
_PIECE = 1 << 20
_PIECES_MAX = 10_000  # of one file
_TARGET_MAX = 4096  # bytes of a link


class Iso9660:
    """A FileSystem. Raises ImageError when the device holds none."""

    kind = "iso9660"

    def __init__(self, device: Device) -> None:
        primary, joliet = _descriptors(device)
        self._device = device
        self._block = struct.unpack_from("<H", primary, 128)[0]
        if self._block not in (512, 1024, 2048):
            raise ImageError(f"its ISO 9660 blocks have {self._block} bytes, which none has")
        self._root = records.record_of(primary[156:190], self._block)
        self._skip = self._rock_ridge_skip()
        self._joliet = self._skip is None and joliet is not None
        if self._joliet and joliet:
            self._root = records.record_of(joliet[156:190], self._block)
        self.label = primary[40:72].decode("ascii", "replace").strip(" \0")
        self.uuid = _date(primary[830:846]) or _date(primary[813:829])
        claimed = struct.unpack_from("<I", primary, 80)[0] * self._block
        self.warnings: tuple[str, ...] = (
            (f"the image is cut short: it has {device.size} bytes and claims {claimed}",)
            if claimed > device.size
            else ()
        )
        self._folders: FolderCache[Node] = FolderCache()

    def root(self) -> Node:
        return Node(kind=NodeKind.FOLDER, size=0, handle=(self._root, None))

    def child(self, folder: Node, name: str) -> Node | None:
        return self._names(folder).get(name if self._exact else name.lower())

    def children(self, folder: Node) -> Iterator[tuple[str, Node]]:
        yield from self._names(folder).items()

    def target(self, link: Node) -> str:
        rock: RockRidge = link.handle[1]
        return rock.target.decode("utf-8", "surrogateescape")

    def chunks(self, file: Node) -> Iterator[bytes]:
        record: Record = file.handle[0]
        rock: RockRidge | None = file.handle[1]
        if rock and rock.compressed:
            raise ImageError("a file in it is compressed (zisofs), which vx cannot read")
        for offset, length in record.pieces:
            for start in range(0, length, _PIECE):
                yield self._device.read_at(offset + start, min(_PIECE, length - start))

    @property
    def _exact(self) -> bool:
        """Names keep their case."""
        return self._joliet or self._skip is not None

    def _names(self, folder: Node) -> dict[str, Node]:
        record: Record = folder.handle[0]
        offset, length = record.pieces[0]
        names = self._folders.get(offset)
        if names is None:
            names = self._folders.put(offset, self._entries(offset, length))
        return names

    def _entries(self, offset: int, length: int) -> Iterator[tuple[str, Node]]:
        for record in records.records(self._device, self._block, offset, length):
            if len(record.pieces) > _PIECES_MAX:
                raise ImageError(f"a file in it is in more than {_PIECES_MAX} pieces")
            if self._skip is not None:
                fields = record.fields[self._skip :]
                rock = records.rock_ridge(self._device, self._block, fields)
                if not rock.hidden:
                    yield self._rock_ridge_name(record, rock), self._rock_ridge_node(record, rock)
                continue
            size = sum(length for _, length in record.pieces)
            yield (
                self._plain_name(record.name),
                Node(kind=record.kind, size=size, handle=(record, None)),
            )

    def _rock_ridge_skip(self) -> int | None:
        """How many bytes lie before the Rock Ridge fields of a record; None when it has none."""
        first = records.first_record(self._device, self._block, self._root.pieces[0][0])
        skip = records.sharing_protocol_skip(first.fields)
        if skip is None:
            return None
        rock = records.rock_ridge(self._device, self._block, first.fields)
        return None if rock.kind is None else skip

    def _rock_ridge_name(self, record: Record, rock: RockRidge) -> str:
        return _checked(
            rock.name.decode("utf-8", "surrogateescape") or self._plain_name(record.name)
        )

    def _rock_ridge_node(self, record: Record, rock: RockRidge) -> Node:
        if rock.moved_to is not None:
            offset = rock.moved_to * self._block
            record = records.first_record(self._device, self._block, offset)
            return Node(kind=NodeKind.FOLDER, size=0, handle=(record, rock), mode=rock.mode)
        kind = rock.kind or record.kind
        if (kind is NodeKind.FOLDER) != (record.kind is NodeKind.FOLDER):
            raise ImageError("its Rock Ridge fields contradict its directory records")
        if kind is NodeKind.LINK:
            if not 0 < len(rock.target) <= _TARGET_MAX:
                raise ImageError(f"a link in it has a target of {len(rock.target)} bytes")
            size = len(rock.target)
        else:
            size = sum(length for _, length in record.pieces)
        return Node(kind=kind, size=size, handle=(record, rock), mode=rock.mode)

    def _plain_name(self, raw: bytes) -> str:
        """Joliet keeps names as they were; plain ones are shown in lower case, as Linux does."""
        text = raw.decode("utf-16-be" if self._joliet else "latin-1", "replace")
        stem, semicolon, version = text.rpartition(";")
        if semicolon and version.isdecimal():
            text = stem
        return _checked(text if self._joliet else text.removesuffix(".").lower())


def _descriptors(device: Device) -> tuple[bytes, bytes | None]:
    """The primary one, and that of Joliet if there is one."""
    primary = joliet = None
    for number in range(16, 16 + _DESCRIPTORS_MAX):
        if (number + 1) * SECTOR > device.size:
            break
        data = device.read_at(number * SECTOR, SECTOR)
        if data[1:6] != MAGIC or data[0] == _END:
            break
        if data[0] == _PRIMARY:
            primary = primary or data
        elif data[0] == _SUPPLEMENTARY and data[88:91] in _JOLIET:
            joliet = joliet or data
    if primary is None:
        raise ImageError("it is not an ISO 9660 image", offset=16 * SECTOR)
    return primary, joliet


def _date(digits: bytes) -> str:
    """``2023112510111200`` → ``2023-11-25-10-11-12-00``, as blkid prints it; "" when not set."""
    text = digits.decode("ascii", "replace")
    if not text.isdecimal() or not text.strip("0"):
        return ""
    return "-".join((text[:4], *(text[start : start + 2] for start in range(4, 16, 2))))


def _checked(name: str) -> str:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ImageError("one of its folders holds a name no file can have")
    return name
