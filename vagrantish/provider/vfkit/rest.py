"""vfkit's REST service: a running guest's state, and its power button.

Routes and answers: pkg/rest/rest.go and pkg/rest/vf/vm_config.go.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING, Any

from vagrantish.errors import ProviderError

if TYPE_CHECKING:
    from pathlib import Path

_ANSWER_MAX = 64 << 10
_STATE_PREFIX = "VirtualMachineState"
_ACCEPTED = (200, 202)  # what it documents, and what it does


class RestError(ProviderError):
    """It did not answer, refused, or what answers is not vfkit."""


def state(path: Path, *, timeout_s: float) -> str:
    """ "running", "stopped", "paused", "starting", "stopping", "error"… Raises RestError."""
    answer = _ask(path, "GET", None, timeout_s)
    name = answer.get("state")
    if not isinstance(name, str) or not name.startswith(_STATE_PREFIX):
        raise RestError(f"what answers at {path} is not vfkit")
    return name.removeprefix(_STATE_PREFIX).lower()[:40]


def press_power_button(path: Path, *, timeout_s: float) -> None:
    """The guest may ignore it. Raises RestError."""
    _ask(path, "POST", {"state": "Stop"}, timeout_s)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("vfkit", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _ask(path: Path, method: str, body: Any, timeout_s: float) -> dict[str, Any]:
    connection = _UnixConnection(path, timeout_s)
    headers = {"Content-Type": "application/json", "Connection": "close"}
    try:
        content = json.dumps(body) if body is not None else None
        connection.request(method, "/vm/state", body=content, headers=headers)
        answer = connection.getresponse()
        raw = answer.read(_ANSWER_MAX)
    except (OSError, http.client.HTTPException) as error:
        raise RestError(f"vfkit does not answer at {path}: {error}") from error
    finally:
        connection.close()
    try:
        found = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        found = {}
    found = found if isinstance(found, dict) else {}
    if answer.status not in _ACCEPTED:
        reason = str(found.get("error", "")).strip()[:200]
        raise RestError(f"vfkit refused ({answer.status}){': ' if reason else ''}{reason}")
    return found
