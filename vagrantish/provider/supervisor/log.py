"""Files that others write without end, kept to a size."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CONSOLE_MAX = 32 << 20
SAID_MAX = 4 << 20
_KEPT = 256 << 10
_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class ConsoleLog:
    """Written by us; at ``limit`` it becomes ``previous`` and a new one begins.

    What does not fit on the disk is lost, and once there is room again that is said there.
    """

    def __init__(self, path: Path, previous: Path, limit: int = CONSOLE_MAX) -> None:
        self._path = path
        self._previous = previous
        self._limit = limit
        self._lost = 0
        self._descriptor: int | None = None
        self._size = 0
        self._open()

    def write(self, data: bytes) -> None:
        if self._size >= self._limit:
            self._roll()
        if self._lost:
            told = f"\r\n[vx: {self._lost} bytes were lost: no room to write them]\r\n".encode()
            if not self._put(told):
                self._lost += len(data)
                return
            self._lost = 0
        if not self._put(data):
            self._lost += len(data)

    def _put(self, data: bytes) -> bool:
        """Whether all of it was written."""
        if self._descriptor is None:
            self._open()
        try:
            while data and self._descriptor is not None:
                written = os.write(self._descriptor, data)
                self._size += written
                data = data[written:]
        except OSError:
            return False
        return not data

    def _roll(self) -> None:
        try:
            os.replace(self._path, self._previous)
        except OSError:
            with suppress(OSError):  # then the file itself has to begin anew
                os.truncate(self._path, 0)
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._open()

    def _open(self) -> None:
        self._descriptor = None
        with suppress(OSError):
            self._descriptor = os.open(self._path, _APPEND, 0o600)
            self._size = os.fstat(self._descriptor).st_size


class SaidLog:
    """Written by the hypervisor through a descriptor of its own; looked at now and then."""

    def __init__(self, path: Path, limit: int = SAID_MAX) -> None:
        """Raises OSError."""
        self.descriptor = os.open(path, _APPEND, 0o600)
        self._limit = limit
        self._run_began = self._size()

    def begin_run(self) -> None:
        self._run_began = self._size()

    def tail(self, most: int) -> bytes:
        """The end of what was said in this run, from a line's beginning."""
        size = self._size()
        begin = max(self._run_began, size - most, 0)
        try:
            said = os.pread(self.descriptor, max(0, size - begin), begin)
        except OSError:
            return b""
        return said.partition(b"\n")[2] or said if begin > self._run_began else said

    def bound(self) -> None:
        """Keep the end alone of a file that has grown too big."""
        size = self._size()
        if size <= self._limit:
            return
        with suppress(OSError):
            kept = os.pread(self.descriptor, _KEPT, size - _KEPT)
            os.ftruncate(self.descriptor, 0)  # whoever appends goes on at the new end
            os.write(self.descriptor, b"[vx: what came before was too much to keep]\n" + kept)
            self._run_began = 0

    def note(self, text: str) -> None:
        with suppress(OSError):
            os.write(self.descriptor, text.encode("utf-8", "replace") + b"\n")

    def _size(self) -> int:
        try:
            return os.fstat(self.descriptor).st_size
        except OSError:
            return 0
