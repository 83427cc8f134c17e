"""A small file server on loopback, with the faults real ones have."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class FileServer:
    """``files`` by path; ``faults`` by path: stall, cut, short, 404, loop, gzip, endless."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range
    stopping: threading.Event = field(default_factory=threading.Event)


@contextmanager
def file_server() -> Iterator[FileServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    files = FileServer(url=f"http://127.0.0.1:{server.server_port}")
    server.files = files  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield files
    finally:
        files.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        files: FileServer = self.server.files  # type: ignore[attr-defined]
        files.requests.append((self.path, self.headers.get("Range")))
        path = self.path.partition("?")[0]
        fault = files.faults.get(path, "")
        if path in files.redirects or fault == "loop":
            self._redirect(files.redirects.get(path, self.path))
            return
        data = files.files.get(path)
        if data is None or fault == "404":
            self.send_error(404)
            return
        start = self._start(len(data))
        self.send_response(206 if start else 200)
        length = len(data) - start
        if fault == "short":
            length //= 2  # what it says; less than the file, and no more is sent
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if fault == "gzip":
            self.send_header("Content-Encoding", "gzip")
        if fault != "endless":
            self.send_header("Content-Length", str(length))
        else:
            self.close_connection = True
        self.end_headers()
        self._send(files, data[start : start + length], fault)

    def _send(self, files: FileServer, data: bytes, fault: str) -> None:
        if fault not in ("stall", "cut", "endless"):
            self.wfile.write(data)
            return
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        try:
            while fault == "endless" and not files.stopping.is_set():
                self.wfile.write(data)
        except OSError:
            return
        if fault == "stall":
            files.stopping.wait(30)
        self.close_connection = True

    def _start(self, size: int) -> int:
        wanted = self.headers.get("Range", "")
        first = wanted.removeprefix("bytes=").partition("-")[0]
        return min(int(first), size) if first.isdecimal() else 0

    def _redirect(self, target: str) -> None:
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as its base names it
        """Nothing on the tests' own output."""
