"""A device whose bytes are in memory, and all the bytes of any device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.formats.device import check_range

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.formats.device import Device


class BytesDevice:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(len(self._data), offset, length)
        return self._data[offset : offset + length]


def chunks_of(device: Device, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
    """All of the device, in order."""
    for offset in range(0, device.size, chunk_bytes):
        yield device.read_at(offset, min(chunk_bytes, device.size - offset))
