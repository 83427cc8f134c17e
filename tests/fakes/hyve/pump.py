"""Carries bytes between a guest's serial ports and their backends."""

from __future__ import annotations

import os
import select
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fakes.hyve.uarts import Backend

_CHUNK = 4096
_IDLE_MS = 200  # after the guest's end, so long without a byte is the last of it
_LAST_S = 2.0


@dataclass
class _Port:
    guest: int
    backend: Backend
    listening: bool  # to the backend
    waiting: bytes = b""  # for room in the guest


class Pump:
    """A thread, which ends with the process."""

    def __init__(self, consoles: dict[int, tuple[int, Backend]]) -> None:
        """By UART: the guest's descriptor, non-blocking, and where it leads."""
        self._ports = [
            _Port(guest, backend, listening=backend.fd is not None)
            for guest, backend in consoles.values()
        ]
        self._wake, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Carries over what an ended guest still said."""
        os.write(self._woken, b"x")
        self._thread.join(_LAST_S)

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        ending = False
        while True:
            poll = self._polled(ending=ending)
            ready = poll.poll(_IDLE_MS if ending else None)
            if ending and not ready:
                return
            events = dict(ready)
            if not ending and self._wake in events:
                ending = True
            for port in list(self._ports):
                self._serve(port, events)
            if ending and not self._ports:
                return

    def _polled(self, *, ending: bool) -> select.poll:
        poll = select.poll()
        if not ending:
            poll.register(self._wake, select.POLLIN)
        for port in self._ports:
            poll.register(port.guest, select.POLLIN | (select.POLLOUT if port.waiting else 0))
            if port.listening and not port.waiting and not ending:
                assert port.backend.fd is not None
                poll.register(port.backend.fd, select.POLLIN)
        return poll

    def _serve(self, port: _Port, events: dict[int, int]) -> None:
        happened = events.get(port.guest, 0)
        if happened & select.POLLOUT:
            self._send(port)
        if happened & ~select.POLLOUT and not self._receive(port):
            self._ports.remove(port)
            return
        if port.listening and port.backend.fd in events and not port.waiting:
            try:
                port.waiting = os.read(port.backend.fd, _CHUNK)
            except BlockingIOError:
                return
            except OSError:
                port.listening = False
                return
            port.listening = bool(port.waiting)  # /dev/null is read once
            self._send(port)

    def _receive(self, port: _Port) -> bool:
        try:
            data = os.read(port.guest, _CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        port.backend.write(data)
        return bool(data)

    def _send(self, port: _Port) -> None:
        try:
            port.waiting = port.waiting[os.write(port.guest, port.waiting) :]
        except BlockingIOError:
            return
        except OSError:
            port.waiting = b""
