"""Serves a folder on loopback as big mirrors do: ranges, ETags, redirects, nothing held in memory."""

from __future__ import annotations

import email.utils
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")


@dataclass
class FolderServer:
    url: str
    folder: Path
    redirects: dict[str, str] = field(default_factory=dict)  # by the path's beginning
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range


@contextmanager
def folder_server(folder: Path) -> Iterator[FolderServer]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.served = FolderServer(f"http://127.0.0.1:{server.server_port}", folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    served: FolderServer
    daemon_threads = True  # a client that keeps its connection does not hold the test up

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients go away in the middle: tests kill them."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        served = self.server.served
        path = unquote(self.path.partition("?")[0])
        served.requests.append((path, self.headers.get("Range")))
        for begin, target in served.redirects.items():
            if path.startswith(begin):
                self._redirect(target + path.removeprefix(begin))
                return
        file = served.folder / path.lstrip("/")
        if ".." in path.split("/") or not file.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self._send(file)

    def _send(self, file: Path) -> None:
        with file.open("rb") as data:
            status = file.stat()
            etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
            wanted = self._range(status.st_size, etag)
            if wanted is None:
                self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{status.st_size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._head(status, etag, *wanted)
            start, count = wanted
            if self.command == "GET" and count:
                self.wfile.flush()
                self.connection.sendfile(data, start, count)

    def _head(self, status: os.stat_result, etag: str, start: int, count: int) -> None:
        partly = "Range" in self.headers and count < status.st_size
        self.send_response(HTTPStatus.PARTIAL_CONTENT if partly else HTTPStatus.OK)
        if partly:
            self.send_header("Content-Range", f"bytes {start}-{start + count - 1}/{status.st_size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(count))
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("ETag", etag)
        self.send_header("Last-Modified", email.utils.formatdate(status.st_mtime, usegmt=True))
        self.end_headers()

    def _range(self, size: int, etag: str) -> tuple[int, int] | None:
        """Start and length; None when nothing of the file lies in the range that was asked for."""
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        if match is None or self.headers.get("If-Range", etag) != etag:
            return 0, size
        first, last = match.groups()
        if not first:
            count = min(int(last or 0), size)
            return (size - count, count) if count else None
        start = int(first)
        end = min(int(last) + 1, size) if last else size
        return (start, end - start) if start < end else None

    def _redirect(self, target: str) -> None:
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as its base names it
        """Nothing on the tests' own output."""
