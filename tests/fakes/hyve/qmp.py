"""QEMU's machine protocol over a connected socket."""

from __future__ import annotations

import json
import select
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_CHUNK = 1 << 16
_ANSWER_S = 30.0  # a busy computer, not a dead QEMU


class Gone(ConnectionError):
    """QEMU has ended, or does not answer."""


class Qmp:
    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._rest = b""
        self._answers: deque[dict[str, object]] = deque()
        self._events: deque[dict[str, object]] = deque()

    def begin(self) -> None:
        """Raises Gone, as all here do."""
        self._answer()  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> object:
        message: dict[str, object] = {"execute": command}
        if arguments:
            message["arguments"] = arguments
        try:
            self._link.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise Gone(str(error)) from error
        answer = self._answer()
        if "error" in answer:
            raise Gone(f"{command}: {answer['error']}")
        return answer["return"]

    def monitor(self, line: str) -> str:
        """A command for people; what it prints."""
        return str(self.execute("human-monitor-command", **{"command-line": line}))

    def next_event(self, timeout_s: float) -> dict[str, object] | None:
        """Raises Gone once everything that came is given out."""
        until = time.monotonic() + timeout_s
        while not self._events:
            if not self._receive(until - time.monotonic()):
                return None
        return self._events.popleft()

    def _answer(self) -> dict[str, object]:
        until = time.monotonic() + _ANSWER_S
        while not self._answers:
            if not self._receive(until - time.monotonic()):
                raise Gone("no answer")
        return self._answers.popleft()

    def _receive(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        if not poll.poll(max(0.0, timeout_s) * 1000):
            return False
        try:
            data = self._link.recv(_CHUNK)
        except OSError as error:
            raise Gone(str(error)) from error
        if not data:
            raise Gone("QEMU has ended")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message: dict[str, object] = json.loads(line)
            (self._events if "event" in message else self._answers).append(message)
        return True
