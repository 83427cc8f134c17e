"""Walks an initrd as the kernel does: archives and compressed members, one after the other.

Rules: Documentation/driver-api/early-userspace/buffer-format.rst of the Linux kernel; a plain
archive must start at a multiple of 4, compressed members may start anywhere.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from vagrantish.formats import cpio, sniff, unpack
from vagrantish.units import format_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

UNPACKED_MAX = 8 << 30  # more than any guest's memory: such an initrd is a bomb
_CHUNK = 1 << 20
_ZSTD, _ZSTD_SKIPPABLE = 0xFD2FB528, range(0x184D2A50, 0x184D2A60)
_LZ4_LEGACY = 0x184C2102


class InitrdError(ValueError):
    """Not an initrd the kernel could unpack whole; the text is fit for the user."""


def check(
    file: BinaryIO,
    *,
    unpacked_max: int = UNPACKED_MAX,
    alive: Callable[[], None] = lambda: None,
) -> None:
    """Read the initrd ``file`` to its end; it must be seekable and stand at its start.

    No compressed member may unpack to more than ``unpacked_max`` bytes. ``alive`` is called often
    and may raise to stop. Memory is bounded. Raises InitrdError.
    """
    segments = 0
    first = file.read(sniff.HEAD_BYTES)
    file.seek(0)
    while _skip_zeros(file):
        start = file.tell()
        head = file.read(sniff.HEAD_BYTES)
        file.seek(start)
        try:
            if not _segment(file, head, start, unpacked_max, alive):
                raise InitrdError(
                    _at(start, "there is something no kernel would unpack")
                    if segments
                    else f"it is {sniff.describe(first)}, not a cpio archive, plain or compressed"
                )
        except (cpio.CpioError, unpack.UnpackError) as error:
            raise InitrdError(_at(start, str(error))) from error
        segments += 1
    if not segments:
        raise InitrdError("it is empty")


def _segment(
    file: BinaryIO, head: bytes, start: int, unpacked_max: int, alive: Callable[[], None]
) -> bool:
    """Read past the part that starts here; False when it is of no kind the kernel knows."""
    word = int.from_bytes(head[:4], "little")
    if head[:6] in cpio.MAGICS:
        if start % 4:
            raise InitrdError(_at(start, "an archive does not start at a multiple of 4"))
        for _ in cpio.walk(file):
            alive()
    elif unpack.is_compressed(head):
        _compressed(_Counted(unpack.Unpacked(file), unpacked_max, alive))
    elif word == _ZSTD or word in _ZSTD_SKIPPABLE:
        _zstd_frame(file, alive)
    elif word == _LZ4_LEGACY:
        _lz4_legacy(file, alive)
    elif head.startswith(b"\x04\x22\x4d\x18"):
        raise InitrdError("it is an lz4 frame, and the kernel wants the legacy format (`lz4 -l`)")
    else:
        return False
    return True


def _compressed(stream: _Counted) -> None:
    """Archives inside a compressed member, with zero padding between them."""
    found = False
    while head := stream.read_past_zeros(6):
        if head not in cpio.MAGICS:
            raise InitrdError("its compressed part holds no cpio archive")
        stream.push_back(head)
        for _ in cpio.walk(stream):
            pass
        found = True
    if not found:
        raise InitrdError("its compressed part is empty")


class _Counted:
    """A stream that may give only so much, with a little push-back."""

    def __init__(self, source: unpack.Unpacked, total_max: int, alive: Callable[[], None]) -> None:
        self._source = source
        self._total_max = total_max
        self._alive = alive
        self._back = b""
        self._total = 0

    def read(self, size: int, /) -> bytes:
        if self._back:
            data, self._back = self._back[:size], self._back[size:]
            return data
        self._alive()
        data = self._source.read(size)
        self._total += len(data)
        if self._total > self._total_max:
            raise InitrdError(f"it unpacks to more than {format_size(self._total_max)}")
        return data

    def push_back(self, data: bytes) -> None:
        self._back = data + self._back

    def read_past_zeros(self, size: int) -> bytes:
        """The next ``size`` bytes after any zeros, or less at the end."""
        data = b""
        while len(data) < size:
            chunk = self.read(_CHUNK)
            if not chunk:
                break
            data = (data + chunk).lstrip(b"\0")
        self.push_back(data[size:])
        return data[:size]


def _skip_zeros(file: BinaryIO) -> bool:
    """Stand at the next byte that is not zero; False at the end of the file."""
    while chunk := file.read(_CHUNK):
        rest = chunk.lstrip(b"\0")
        if rest:
            file.seek(-len(rest), 1)
            return True
    return False


def _zstd_frame(file: BinaryIO, alive: Callable[[], None]) -> None:
    """Step over one frame (RFC 8878, section 3.1) block by block, unpacking nothing."""
    (magic,) = struct.unpack("<I", _take(file, 4))
    if magic != _ZSTD:
        (size,) = struct.unpack("<I", _take(file, 4))
        _step(file, size)
        return
    descriptor = _take(file, 1)[0]
    single_segment = descriptor >> 5 & 1
    content_size = (1 if single_segment else 0, 2, 4, 8)[descriptor >> 6]
    _step(file, (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3] + content_size)
    last = 0
    while not last:
        alive()
        block = int.from_bytes(_take(file, 3), "little")
        last, kind, size = block & 1, block >> 1 & 3, block >> 3
        if kind == 3:
            raise InitrdError("its zstd data is damaged")
        _step(file, 1 if kind == 1 else size)
    _step(file, 4 if descriptor & 4 else 0)


def _lz4_legacy(file: BinaryIO, alive: Callable[[], None]) -> None:
    """Step over one legacy stream: it ends with the file or where a size makes no sense."""
    _take(file, 4)
    blocks = 0
    while header := file.read(4):
        alive()
        size = int.from_bytes(header, "little")
        # A block holds at most 8 MiB of content, and LZ4 can grow it by 1 in 255.
        if len(header) < 4 or not 0 < size <= (8 << 20) + (8 << 20) // 255 + 16:
            file.seek(-len(header), 1)
            break
        _step(file, size)
        blocks += 1
    if not blocks:
        raise InitrdError("its lz4 data is cut short")


def _take(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise InitrdError("its compressed data is cut short")
    return data


def _step(file: BinaryIO, size: int) -> None:
    if size:
        file.seek(size - 1, 1)
        _take(file, 1)


def _at(offset: int, text: str) -> str:
    return f"at byte {offset}, {text}" if offset else text
