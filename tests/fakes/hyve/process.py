"""How a C program prints and ends: stdio's buffer, atexit, abort, signals."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

_STDIO_BUFFER = 4096


class Process:
    def __init__(self) -> None:
        self._out = bytearray()
        self._at_exit: list[Callable[[], None]] = []
        self._line_buffered = os.isatty(1)

    def print_out(self, text: str) -> None:
        """Fully buffered unless stdout is a terminal: in a file it appears at exit only."""
        self._out += os.fsencode(text)
        if self._line_buffered or len(self._out) > _STDIO_BUFFER:
            self._flush()

    def print_err(self, text: str) -> None:
        _write(2, os.fsencode(text))

    def at_exit(self, work: Callable[[], None]) -> None:
        self._at_exit.append(work)

    def exit(self, status: int) -> NoReturn:
        while self._at_exit:
            self._at_exit.pop()()
        self._flush()
        os._exit(status)

    def abort(self) -> NoReturn:
        """Nothing that exit does is done: the pid file stays, stdout is lost."""
        self.die_by(signal.SIGABRT)

    def die_by(self, number: signal.Signals) -> NoReturn:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number is not signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
        while True:
            signal.pause()

    def _flush(self) -> None:
        _write(1, bytes(self._out))
        self._out.clear()


def _write(fd: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except OSError:
            return
