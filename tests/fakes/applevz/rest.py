"""vfkit's REST service: its routes, its answers, its log on stdout."""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import threading
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

STATES = ("Stopped", "Running", "Paused", "Error", "Starting", "Pausing", "Resuming", "Stopping")
_CHANGES = ("Stop", "HardStop", "Pause", "Resume")
_BODY_MAX = 1 << 16
_ANSWER_S = 30.0


@dataclass
class Asked:
    """A change that is wanted; whoever has the machine answers with "" or what is wrong."""

    change: str
    answer: Queue[str] = field(default_factory=Queue)


class Machine:
    """What the service knows of the machine, and how it asks it to change."""

    def __init__(self, cpus: int, memory_bytes: int) -> None:
        self.state = "Starting"
        self.asked: Queue[Asked] = Queue()
        self.inspected = {"cpus": cpus, "memory": memory_bytes, "devices": []}


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    machine: Machine


def serve(path: str, machine: Machine) -> None:
    """Raises OSError where there is a file already: nothing is taken away."""
    server = _Server(path, _Handler)
    server.machine = machine
    threading.Thread(target=server.serve_forever, daemon=True).start()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        machine = self.server.machine
        if self.path == "/vm/inspect":
            self._answer(200, machine.inspected)
        elif self.path == "/vm/state":
            state = machine.state
            self._answer(
                200,
                {
                    "state": f"VirtualMachineState{state}",
                    "canStart": state == "Stopped",
                    "canPause": state == "Running",
                    "canResume": state == "Paused",
                    "canStop": state in {"Running", "Paused"},
                    "canHardStop": state in {"Running", "Paused"},
                },
            )
        else:
            self._answer(404, None)

    def do_POST(self) -> None:
        if self.path != "/vm/state":
            self._answer(404, None)
            return
        length = min(int(self.headers.get("Content-Length") or 0), _BODY_MAX)
        try:
            wanted = str(json.loads(self.rfile.read(length))["state"])
        except (ValueError, KeyError, TypeError) as error:
            self._answer(400, {"error": str(error)})
            return
        if wanted not in _CHANGES:
            self._answer(500, {"error": f"invalid new VMState: {wanted}"})
            return
        asked = Asked(wanted)
        self.server.machine.asked.put(asked)
        wrong = asked.answer.get(timeout=_ANSWER_S)
        self._answer(*((500, {"error": wrong}) if wrong else (202, None)))

    def address_string(self) -> str:
        return ""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        os.write(1, f"[GIN] {self.command} {self.path}\n".encode())

    def _answer(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
