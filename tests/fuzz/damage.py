"""Images with damage in them, and a look around in what they still hold, within bounds."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from vagrantish.formats.device import ImageError, check_range
from vagrantish.formats.volume import NodeKind, Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vagrantish.formats.device import Device
    from vagrantish.formats.volume import FileSystem, Node

_FILE_MAX = 4 << 20
_NODES_MAX = 200
_DEPTH_MAX = 6
_TIME_MAX_S = 5


class Damaged:
    """``data`` with other bytes at some places, and perhaps cut; it counts what is read."""

    def __init__(self, data: bytes, changes: Mapping[int, bytes], size: int | None = None) -> None:
        self._data = data
        self._changes = {at: new for at, new in changes.items() if at + len(new) <= len(data)}
        self._size = len(data) if size is None else min(size, len(data))
        self.was_read = 0

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self._size, offset, length)
        self.was_read += length
        found = bytearray(self._data[offset : offset + length])
        for at, new in self._changes.items():
            low, high = max(at, offset), min(at + len(new), offset + length)
            if low < high:
                found[low - offset : high - offset] = new[low - at : high - at]
        return bytes(found)


def look_around(opened: Callable[[Device], FileSystem], device: Damaged, *, read_max: int) -> None:
    """Open, list, read: all of it ends soon, in bounds, and in nothing but ImageError."""
    start = time.monotonic()
    with suppress(ImageError):
        system = opened(device)
        assert isinstance(system.label + system.uuid + "".join(system.warnings), str)
        _look(Volume(system), system.root(), [_NODES_MAX], 0)
    assert time.monotonic() - start < _TIME_MAX_S
    assert device.was_read <= read_max, f"{device.was_read} bytes were read"


def _look(volume: Volume, folder: Node, left: list[int], depth: int) -> None:
    with suppress(ImageError):
        for name, node in volume.system.children(folder):
            left[0] -= 1
            if left[0] < 0 or depth > _DEPTH_MAX:
                return
            assert name
            assert "/" not in name
            with suppress(ImageError):
                volume.system.child(folder, name)
            if node.kind is NodeKind.FOLDER:
                _look(volume, node, left, depth + 1)
            elif node.kind is NodeKind.LINK:
                with suppress(ImageError):
                    volume.link_target(node)
            elif node.size <= _FILE_MAX:
                with suppress(ImageError):
                    assert sum(map(len, volume.system.chunks(node))) <= node.size
