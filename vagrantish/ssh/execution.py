"""One command on one channel: bytes in, bytes out, and never a deadlock between them."""

from __future__ import annotations

import selectors
import threading
import time
from typing import TYPE_CHECKING

import paramiko

from vagrantish.errors import SSHError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from vagrantish.events import Cancel
    from vagrantish.ssh.pulse import Pulse

_CHUNK = 1 << 16
_LOOK_S = 0.05  # how often cancelling, deadlines and the guest's pulse are looked at
# A program left running in the background keeps the output open: what is still under way when
# the command itself has ended gets this long.
_LINGER_S = 0.5
_LINGER_MAX_S = 3.0
_DYING_S = 0.2


class DeadlineError(Exception):
    """The command did not end in time."""


class Tail:
    """The last bytes of a stream."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > 2 * self._keep:
            del self._data[: -self._keep]

    def bytes(self) -> bytes:
        return bytes(self._data[-self._keep :])


class Feeder:
    """Sends standard input from a thread of its own: sending blocks while the guest reads nothing."""

    def __init__(
        self, channel: paramiko.Channel, stdin: bytes | BinaryIO | Iterator[bytes]
    ) -> None:
        self._channel = channel
        self._chunks = _chunks_of(stdin)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="vx-stdin", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises what reading the input raised; the guest then must not take it for complete."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            try:
                chunk = next(self._chunks, b"")
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                self._error = error
                return
            try:
                if not chunk:
                    self._channel.shutdown_write()
                    return
                self._channel.sendall(chunk)
            except (OSError, EOFError, paramiko.SSHException):
                return  # the command wants no more, or the connection is gone: the reader sees which


def _chunks_of(stdin: bytes | BinaryIO | Iterator[bytes]) -> Iterator[bytes]:
    if isinstance(stdin, bytes):
        view = memoryview(stdin)
        for start in range(0, len(stdin), _CHUNK):
            yield bytes(view[start : start + _CHUNK])
    elif hasattr(stdin, "read"):
        while chunk := stdin.read(_CHUNK):
            yield chunk
    else:
        yield from (chunk for chunk in stdin if chunk)


class Execution:
    """Pumps a started command until it ends."""

    def __init__(
        self,
        channel: paramiko.Channel,
        *,
        on_stdout: Callable[[bytes], object],
        on_stderr: Callable[[bytes], object],
        pulse: Pulse,
        cancel: Cancel,
    ) -> None:
        self._channel = channel
        self._sinks = (on_stdout, on_stderr)
        self._pulse = pulse
        self._cancel = cancel

    def pump(
        self,
        *,
        stdin: bytes | BinaryIO | Iterator[bytes] | None,
        deadline: float | None,
        until: Callable[[], bool] = lambda: False,
    ) -> int | None:
        """The exit status, -1 for a command that a signal ended; None when ``until`` came first.

        Raises DeadlineError, SSHError, Cancelled, and what sinks and input raise.
        """
        channel, feeder = self._channel, None
        if stdin is not None:
            feeder = Feeder(channel, stdin)
        else:
            channel.shutdown_write()
        ended_at = quiet_since = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(channel.fileno(), selectors.EVENT_READ)
            while not until():
                moved = self._drain()
                now = time.monotonic()
                if not channel.exit_status_ready():
                    ended_at = now
                elif (
                    channel.eof_received
                    or channel.closed
                    or now - max(quiet_since, ended_at) > _LINGER_S
                    or now - ended_at > _LINGER_MAX_S
                ):
                    self._drain()
                    return self._status()
                self._cancel.check()
                if feeder is not None:
                    feeder.check()
                if deadline is not None and now >= deadline:
                    raise DeadlineError
                if moved:
                    quiet_since = now
                    continue
                self._pulse.check()
                if channel.eof_received:
                    channel.status_event.wait(_LOOK_S)
                else:
                    selector.select(_LOOK_S)
        return None

    def _drain(self) -> bool:
        moved = False
        if self._channel.recv_ready():
            self._sinks[0](self._channel.recv(_CHUNK))
            moved = True
        if self._channel.recv_stderr_ready():
            self._sinks[1](self._channel.recv_stderr(_CHUNK))
            moved = True
        return moved

    def _status(self) -> int:
        while self._drain():
            self._cancel.check()
        status = self._channel.recv_exit_status()
        transport = self._channel.get_transport()
        if status == -1:
            # No status came: the command was killed by a signal, or the connection ended, which
            # paramiko notes only after it has closed the channels.
            transport.join(_DYING_S)
            if not transport.is_active():
                raise SSHError(
                    "the connection to the guest ended while a command ran in it",
                    hint="Look at what the guest said last: `vx logs`.",
                )
        return int(status)
