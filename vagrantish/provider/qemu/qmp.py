"""A small client of QEMU's machine protocol, QMP (docs/interop/qmp-spec in QEMU's sources).

Whoever answers on the socket is not trusted: lines are bounded, answers are matched by id, and
every wait has an end.
"""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from vagrantish.errors import ProviderError

if TYPE_CHECKING:
    from pathlib import Path

_LINE_MAX = 1 << 20
_EVENTS_MAX = 100
_CHUNK = 1 << 16


class QmpError(ProviderError):
    """QEMU refused a command, or gave no usable answer."""

    code = "qmp"


class QmpUnreachable(QmpError):
    """Nobody listens, another client is attached, or the answer did not come in time."""

    code = "qmp-unreachable"


class Qmp:
    """A connection in command mode. QEMU serves one client at a time: keep it short."""

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        """Connect and negotiate; each later command may take ``timeout_s`` as well.

        Raises QmpUnreachable.
        """
        self.events: deque[dict[str, Any]] = deque(maxlen=_EVENTS_MAX)
        self._path = path
        self._timeout_s = timeout_s
        self._buffer = b""
        self._last_id = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            deadline = time.monotonic() + timeout_s
            self._socket.settimeout(timeout_s)
            # A full backlog (somebody else waits there already) shows as BlockingIOError.
            try:
                self._socket.connect(str(path))
            except OSError as error:
                raise QmpUnreachable(f"QEMU does not answer at {path}: {error}") from error
            greeting = self._read(deadline)
            if "QMP" not in greeting:
                raise QmpUnreachable(f"what answers at {path} is not QEMU")
            self.execute("qmp_capabilities")
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def execute(self, command: str, **arguments: Any) -> Any:
        """The command's answer. Raises QmpError with QEMU's own words, QmpUnreachable."""
        self._last_id += 1
        request = {"execute": command, "arguments": arguments, "id": self._last_id}
        deadline = time.monotonic() + self._timeout_s
        try:
            self._socket.settimeout(self._timeout_s)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise QmpUnreachable(f"QEMU at {self._path} hung up: {error}") from error
        while True:
            answer = self._read(deadline)
            if "event" in answer:
                self.events.append(answer)
            elif answer.get("id") == self._last_id and "return" in answer:
                return answer["return"]
            elif answer.get("id") == self._last_id and "error" in answer:
                refusal = answer["error"]
                text = refusal.get("desc") if isinstance(refusal, dict) else None
                raise QmpError(f"QEMU refused {command}: {text or 'no reason given'}")

    def monitor(self, line: str) -> str:
        """What the human monitor prints for ``line``."""
        answer = self.execute("human-monitor-command", **{"command-line": line})
        if not isinstance(answer, str):
            raise QmpError(f"QEMU's monitor gave no text for {line}")
        return answer

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise QmpUnreachable(f"QEMU did not answer in time at {self._path}")
            if len(self._buffer) > _LINE_MAX:
                raise QmpUnreachable(f"QEMU at {self._path} sent a line without an end")
            self._socket.settimeout(left)
            try:
                chunk = self._socket.recv(_CHUNK)
            except TimeoutError:
                continue
            except OSError as error:
                raise QmpUnreachable(f"QEMU at {self._path} hung up: {error}") from error
            if not chunk:
                raise QmpUnreachable(f"QEMU at {self._path} hung up")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise QmpUnreachable(f"what answers at {self._path} is not QEMU") from error
        if not isinstance(message, dict):
            raise QmpUnreachable(f"what answers at {self._path} is not QEMU")
        return message
