"""Writes files whose zeros take no space."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

BLOCK = 4096  # what file systems give out, and so what a hole is made of
_ZEROS = bytes(BLOCK)
_WRITE_OUT_EVERY = 8 << 20


class SparseFile:
    """A new file; what is never written, or written as zeros, becomes holes.

    ``write`` goes on at the end; ``write_at`` may be called from several threads for places not
    written before. All of it raises OSError, making one also FileExistsError.
    """

    def __init__(self, path: Path, *, mode: int = 0o666) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, mode)
        self._end = 0
        self._written_out = 0

    @property
    def size(self) -> int:
        """Bytes ``write`` was given so far."""
        return self._end

    def write(self, data: bytes) -> None:
        self.write_at(self._end, data)
        self._end += len(data)
        if self._end - self._written_out >= _WRITE_OUT_EVERY:
            self.write_out(self._written_out, self._end)
            self._written_out = self._end

    def write_at(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        for begin, end in filled(data, offset):
            while begin < end:
                begin += os.pwrite(self._descriptor, view[begin:end], offset + begin)

    def write_out(self, start: int, end: int) -> None:
        write_out(self._descriptor, start, end)

    def finish(self, size: int | None = None) -> None:
        """Give it its size, by default that of what ``write`` was given, and make it last."""
        os.ftruncate(self._descriptor, self._end if size is None else size)
        os.fsync(self._descriptor)

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


def write_out(descriptor: int, start: int, end: int) -> None:
    """Have the host begin to put this on the disk, so that a later fsync waits less."""
    if sys.platform == "linux":
        # Dirty pages are sent off and stay in memory (mm/fadvise.c); only clean ones go.
        os.posix_fadvise(descriptor, start, end - start, os.POSIX_FADV_DONTNEED)


def filled(data: bytes, offset: int = 0) -> Iterator[tuple[int, int]]:
    """The stretches of ``data`` between its zero blocks; ``offset`` is its place in the file.

    Only bytes will do: a memoryview is compared element by element, forty times slower.
    """
    begin = 0
    for start, end in _zero_blocks(data, -offset % BLOCK):
        if begin < start:
            yield begin, start
        begin = end
    if begin < len(data):
        yield begin, len(data)


def _zero_blocks(data: bytes, lead: int) -> Iterator[tuple[int, int]]:
    """The blocks of zeros in ``data``, whose first whole block starts after ``lead`` bytes."""
    lead = min(lead, len(data))
    if lead and data.startswith(_ZEROS[:lead]):
        yield 0, lead
    # Most blocks are told from zeros by their first byte, all of them at once.
    firsts = data[lead::BLOCK]
    found = firsts.find(0)
    while found >= 0:
        start = lead + found * BLOCK
        end = min(start + BLOCK, len(data))
        if data.startswith(_ZEROS if end - start == BLOCK else _ZEROS[: end - start], start):
            yield start, end
        found = firsts.find(0, found + 1)
