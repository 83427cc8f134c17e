"""The guest's console: a pty or a socket of ours, its log, and the one client that may join."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
import tty
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.provider.supervisor.log import ConsoleLog

_CHUNK = 1 << 16
_PENDING_MAX = 256 << 10  # what a client that does not read may be behind; the rest it misses
_TYPED_MAX = 16 << 10
_QUIET_S = 0.03  # a pty hands over what was written to it a little later
_DRAIN_S = 1.0
_BUSY = b"\r\n[vx: the console is in use by another client]\r\n"


class NoConsole:
    """Stands in where the hypervisor writes the log itself, or nobody does."""

    def __init__(self, log: Path | None) -> None:
        self._log = log
        self.slave = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    @property
    def printed(self) -> bool:
        return self._size() > 0

    def begin_run(self) -> None:
        """Whoever writes such a log begins it anew (vfkit pkg/vf/virtio.go:283)."""

    def wait(self, timeout_s: float, wake: int) -> bool:
        return bool(select.select([wake], [], [], max(0.0, timeout_s))[0])

    def drain(self) -> None:
        """Nothing is on its way."""

    def close(self) -> None:
        os.close(self.slave)

    def _size(self) -> int:
        try:
            return os.stat(self._log).st_size if self._log is not None else 0
        except OSError:
            return 0


class Console:
    def __init__(self, log: ConsoleLog, socket_path: Path, *, has_pty: bool = True) -> None:
        """Raises OSError without ptys; without its socket it goes on."""
        self.printed = False  # since the last ``begin_run``
        self._log = log
        # The slave stays open: without one the master answers EIO between two hypervisors.
        self._master, self.slave = _pty() if has_pty else _pair()
        os.set_blocking(self._master, False)
        self._socket_path = socket_path
        self._listener = _listen(socket_path)
        self._client: socket.socket | None = None
        self._pending = bytearray()  # for the client
        self._typed = b""  # for the guest

    def begin_run(self) -> None:
        self.printed = False

    def wait(self, timeout_s: float, wake: int) -> bool:
        """Carry what comes within that time, one round; whether ``wake`` may be read."""
        sources: list[int | socket.socket] = [self._master, wake]
        sinks: list[int | socket.socket] = [self._master] if self._typed else []
        if self._listener is not None:
            sources.append(self._listener)
        if self._client is not None:
            if len(self._typed) < _TYPED_MAX:
                sources.append(self._client)
            if self._pending:
                sinks.append(self._client)
        # Not poll(2): on macOS it does not take terminals.
        readable, writable, _ = select.select(sources, sinks, [], max(0.0, timeout_s))
        if self._master in readable:
            self._carry_output()
        if self._client is not None and self._client in readable:
            self._take_typed()
        if self._listener in readable:
            self._accept()  # after the client that may just have left
        if self._client is not None and self._client in writable:
            self._give_client()
        if self._typed and self._master in writable:
            self._give_guest()
        return wake in readable

    def drain(self) -> None:
        """All that a hypervisor which just ended has left in the pty."""
        until = time.monotonic() + _DRAIN_S
        while time.monotonic() < until:
            if not select.select([self._master], [], [], _QUIET_S)[0]:
                return
            self._carry_output()

    def close(self) -> None:
        if self._client is not None:
            with suppress(OSError):
                self._client.send(self._pending)
        self._drop_client()
        if self._listener is not None:
            self._listener.close()
        with suppress(OSError):
            self._socket_path.unlink()
        os.close(self.slave)
        os.close(self._master)

    def _carry_output(self) -> None:
        try:
            data = os.read(self._master, _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return
        self.printed = self.printed or bool(data)
        self._log.write(data)
        if self._client is not None:
            self._pending += data[: _PENDING_MAX - len(self._pending)]
            self._give_client()

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        client.settimeout(0)
        if self._client is None:
            self._client = client
            return
        with suppress(OSError):
            client.send(_BUSY)
        client.close()

    def _take_typed(self) -> None:
        assert self._client is not None
        try:
            data = self._client.recv(_TYPED_MAX - len(self._typed))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop_client()
            return
        self._typed += data
        self._give_guest()

    def _give_guest(self) -> None:
        try:
            self._typed = self._typed[os.write(self._master, self._typed) :]
        except BlockingIOError:
            return
        except OSError:
            self._typed = b""

    def _give_client(self) -> None:
        if self._client is None or not self._pending:
            return
        try:
            del self._pending[: self._client.send(self._pending)]
        except BlockingIOError:
            return
        except OSError:
            self._drop_client()

    def _drop_client(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None
        self._pending.clear()


def _pty() -> tuple[int, int]:
    master, slave = os.openpty()
    tty.setraw(slave)
    return master, slave


def _pair() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


def _listen(path: Path) -> socket.socket | None:
    with suppress(OSError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        listener.listen(4)
        listener.settimeout(0)
    except OSError:
        listener.close()
        return None
    return listener
