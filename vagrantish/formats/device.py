"""Bytes by position: image files, the partitions in them, and windows of either."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self


class ImageError(ValueError):
    """An image that is damaged, cut short or of an unknown kind; the text is fit for the user.

    ``offset`` is the byte of the file or device where it shows, None where that says nothing.
    """

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"at byte {offset}, {message}")
        self.offset = offset


class Device(Protocol):
    """A disk, a partition or a file, read by position. Safe to read from several threads."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes; what is a hole reads as zeros.

        Raises ImageError where any of them lie outside, or the image around them is damaged;
        OSError when the host cannot read.
        """


class FileDevice:
    """A file. Close it, or use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.lseek(self._descriptor, 0, os.SEEK_END)

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self._size, offset, length)
        data = os.pread(self._descriptor, length, offset)
        while len(data) < length:
            more = os.pread(self._descriptor, length - len(data), offset + len(data))
            if not more:
                raise ImageError("the file became shorter while it was read", offset=offset)
            data += more
        return data

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Window:
    """A stretch of another device, such as a partition. Raises ImageError if it sticks out."""

    def __init__(self, device: Device, offset: int, size: int) -> None:
        check_range(device.size, offset, size)
        self._device = device
        self._offset = offset
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self._size, offset, length)
        return self._device.read_at(self._offset + offset, length)


def check_range(size: int, offset: int, length: int) -> None:
    """Raises ImageError unless ``offset`` to ``offset + length`` lies within ``size`` bytes."""
    if offset < 0 or length < 0 or offset + length > size:
        raise ImageError(f"{length} bytes are wanted, and there are {size} in all", offset=offset)
