"""Btrfs, read by the fs-explorer library: this is the only module that knows it."""

from __future__ import annotations

import io
import struct
import uuid
from typing import TYPE_CHECKING, BinaryIO, cast

from vagrantish.formats.device import ImageError
from vagrantish.formats.volume import Node, NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fs_explorer import Entry

    from vagrantish.formats.device import Device

SUPER_OFFSET, _SUPER_BYTES = 0x10000, 4096
MAGIC, MAGIC_OFFSET = b"_BHRfS_M", SUPER_OFFSET + 64
_PIECE = 1 << 20
_CACHE_BYTES = 16 << 20
_KINDS = {"file": NodeKind.FILE, "dir": NodeKind.FOLDER, "symlink": NodeKind.LINK}
_LOG = "its btrfs log was not replayed: the newest changes may be missing"


class Btrfs:
    """A FileSystem, seen from its default subvolume; other subvolumes are folders in it.

    Raises ImageError when the device holds none, or only a part of one.
    """

    kind = "btrfs"

    def __init__(self, device: Device) -> None:
        from fs_explorer import FsExplorerError, Source

        head = device.read_at(SUPER_OFFSET, min(_SUPER_BYTES, max(0, device.size - SUPER_OFFSET)))
        if len(head) < _SUPER_BYTES or head[64:72] != MAGIC:
            raise ImageError("it is not a btrfs file system", offset=SUPER_OFFSET)
        devices = struct.unpack_from("<Q", head, 136)[0]
        if devices != 1:
            raise ImageError(f"its btrfs file system is spread over {devices} disks")
        self.label = head[299:555].split(b"\0")[0].decode("utf-8", "replace")
        self.uuid = str(uuid.UUID(bytes=head[32:48]))
        self.warnings: tuple[str, ...] = (_LOG,) if struct.unpack_from("<Q", head, 96)[0] else ()
        self._errors = FsExplorerError
        try:
            self._source = Source(
                cast("BinaryIO", _DeviceFile(device)),
                flatten=False,
                format_hint="btrfs",
                cache_size=_CACHE_BYTES,
                threads=1,
            )
        except FsExplorerError as error:
            raise _translated(error) from error

    def root(self) -> Node:
        try:
            return _node(self._source.stat("/"), "")
        except self._errors as error:
            raise _translated(error) from error

    def child(self, folder: Node, name: str) -> Node | None:
        from fs_explorer import TargetNotFoundError

        path = _below(folder, name)
        try:
            entry = self._source.stat(path)
        except TargetNotFoundError:
            return None
        except self._errors as error:
            raise _translated(error) from error
        # The library also finds other spellings of the same Unicode text.
        return _node(entry, path) if entry.name == name else None

    def children(self, folder: Node) -> Iterator[tuple[str, Node]]:
        try:
            for entry in self._source.entries(folder.handle or "/", recursive=0):
                yield entry.name, _node(entry, f"{folder.handle}/{entry.name}")
        except self._errors as error:
            raise _translated(error) from error

    def target(self, link: Node) -> str:
        try:
            entry = self._source.stat(link.handle)
        except self._errors as error:
            raise _translated(error) from error
        if entry.link_target is None:
            raise ImageError(f"{link.handle} in it is a damaged link")
        return entry.link_target

    def chunks(self, file: Node) -> Iterator[bytes]:
        try:
            with self._source.open_file(file.handle, follow_symlinks=False) as opened:
                while piece := opened.read(_PIECE):
                    yield piece
        except self._errors as error:
            raise _translated(error) from error


class _DeviceFile(io.RawIOBase):
    """A device as a file object."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._device.size}
        self._position = start[whence] + offset
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._device.size - self._position)
        data = self._device.read_at(self._position, left if size < 0 else min(size, left))
        self._position += len(data)
        return data


def _below(folder: Node, name: str) -> str:
    """The library takes a backslash for a slash, so such names cannot be asked for."""
    if "\\" in name:
        raise ImageError(f"{name} in its btrfs file system has a name vx cannot look up")
    return f"{folder.handle}/{name}"


def _node(entry: Entry, path: str) -> Node:
    kind = _KINDS.get(entry.type.value, NodeKind.OTHER)
    size = len(entry.link_target or "") if kind is NodeKind.LINK else entry.size or 0
    return Node(kind=kind, size=size, handle=path, mode=(entry.mode or 0) & 0o7777)


def _translated(error: Exception) -> ImageError:
    return ImageError(f"its btrfs file system cannot be read: {error}")
