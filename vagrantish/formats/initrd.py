"""Walks an initrd as the kernel does: archives and compressed members, one after the other.

Rules: Documentation/driver-api/early-userspace/buffer-format.rst of the Linux kernel; a plain
archive must start at a multiple of 4, compressed members may start anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.formats import cpio, sniff, unpack
from vagrantish.units import format_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

UNPACKED_MAX = 8 << 30  # more than any guest's memory: such an initrd is a bomb
_CHUNK = 1 << 20
_LZ4_LEGACY = b"\x02\x21\x4c\x18"


class InitrdError(ValueError):
    """Not an initrd the kernel could unpack whole; the text is fit for the user."""


def check(
    file: BinaryIO,
    *,
    unpacked_max: int = UNPACKED_MAX,
    alive: Callable[[], None] = lambda: None,
) -> int:
    """Read the initrd ``file`` to its end; it must be seekable and stand at its start.

    The answer is how many bytes it unpacks to; lz4 data counts as it is, a part of what is in it.
    No compressed member may unpack to more than ``unpacked_max`` bytes. ``alive`` is called often
    and may raise to stop. Memory is bounded. Raises InitrdError.
    """
    segments = total = 0
    first = file.read(sniff.HEAD_BYTES)
    file.seek(0)
    while _skip_zeros(file):
        start = file.tell()
        head = file.read(sniff.HEAD_BYTES)
        file.seek(start)
        try:
            size = _segment(file, head, start, unpacked_max, alive)
            if not size:
                raise InitrdError(
                    _at(start, "there is something no kernel would unpack")
                    if segments
                    else f"it is {sniff.describe(first)}, not a cpio archive, plain or compressed"
                )
        except (cpio.CpioError, unpack.UnpackError) as error:
            raise InitrdError(_at(start, str(error))) from error
        segments += 1
        total += size
    if not segments:
        raise InitrdError("it is empty")
    return total


def _segment(
    file: BinaryIO, head: bytes, start: int, unpacked_max: int, alive: Callable[[], None]
) -> int:
    """Read past the part that starts here. Bytes in it; 0 when it is of no kind the kernel knows."""
    if head[:6] in cpio.MAGICS:
        if start % 4:
            raise InitrdError(_at(start, "an archive does not start at a multiple of 4"))
        for _ in cpio.walk(file):
            alive()
    elif unpack.is_compressed(head):
        stream = _Counted(unpack.Unpacked(file), unpacked_max, alive)
        _compressed(stream)
        return stream.total
    elif head.startswith(_LZ4_LEGACY):
        _lz4_legacy(file, alive)
    elif head.startswith(b"\x04\x22\x4d\x18"):
        raise InitrdError("it is an lz4 frame, and the kernel wants the legacy format (`lz4 -l`)")
    else:
        return 0
    return file.tell() - start


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
        self.total = 0

    def read(self, size: int, /) -> bytes:
        if self._back:
            data, self._back = self._back[:size], self._back[size:]
            return data
        self._alive()
        data = self._source.read(size)
        self.total += len(data)
        if self.total > self._total_max:
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
