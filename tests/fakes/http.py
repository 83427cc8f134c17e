"""A small file server on loopback, with the faults real ones have."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

HTML = b"<!DOCTYPE html>\n<html><body><h1>Not found</h1></body></html>\n"
RESET_EVERY = 64 << 10
LAST = 16 << 10


@dataclass
class FileServer:
    """``files`` by path, and ``faults`` by path, one or more words:

    404, loop (redirects to itself), gzip (labels it so), html (a page with status 200)
    stall, cut (half of it, then nothing), short (says and sends half), endless,
    nolength (does not say how much, and sends the last bytes whole)
    reset (after 64 KiB), norange (always the whole), otherrange (other bytes), wrongrange (another
    part than asked for), longrange (another size than before), claims (says it has ``claimed``),
    onestream (refuses to send a part that has an end)
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, list[tuple[int, str]]] = field(default_factory=dict)  # status, Retry-After
    rates: dict[str, float] = field(default_factory=dict)  # bytes a second of each connection
    etags: bool = True  # whether files have one
    authorized: list[str] = field(default_factory=list)  # what came as Authorization
    claimed: int = 0
    gate: threading.Event | None = None  # no file is sent before it is set
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range
    agents: set[tuple[str, int]] = field(default_factory=set)  # one for each connection
    stopping: threading.Event = field(default_factory=threading.Event)

    def asked(self, path: str) -> list[str | None]:
        """The ranges that were asked for of one file."""
        return [wanted for asked, wanted in self.requests if asked == path]


@contextmanager
def file_server(tls: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    server = _Server(("127.0.0.1", 0), _Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "https" if tls else "http"
    server.files = FileServer(url=f"{scheme}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.files
    finally:
        server.files.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    files: FileServer
    daemon_threads = True  # a client that keeps its connection does not hold the test up

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away, or does not like the certificate, is what tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        files = self.server.files
        files.requests.append((self.path, self.headers.get("Range")))
        files.agents.add(self.client_address)
        if sent := self.headers.get("Authorization"):
            files.authorized.append(sent)
        path = self.path.partition("?")[0]
        fault = files.faults.get(path, "").split()
        if refused := files.refusals.get(path):
            self._refuse(*refused.pop(0))
        elif "onestream" in fault and not (self.headers.get("Range") or "-").endswith("-"):
            self._refuse(503, "")
        elif path in files.redirects or "loop" in fault:
            self._redirect(files.redirects.get(path, self.path))
        elif path not in files.files or "404" in fault:
            self.send_error(404)
        else:
            self._answer(path, HTML if "html" in fault else files.files[path], fault)

    def _answer(self, path: str, data: bytes, fault: list[str]) -> None:
        files = self.server.files
        if files.gate is not None:
            files.gate.wait(30)
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        start, end = self._wanted(len(data), etag, fault)
        if start >= len(data) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        whole = (start, end) == (0, len(data)) and "Range" not in self.headers
        self.send_response(200 if whole or "norange" in fault else 206)
        if not whole and "norange" not in fault:
            shift = 1 if "wrongrange" in fault else 0
            total = len(data) + (1 if "longrange" in fault else 0)
            self.send_header("Content-Range", f"bytes {start + shift}-{end - 1}/{total}")
        body = data[start:end]
        if "otherrange" in fault and not whole:
            body = bytes(byte ^ 0xFF for byte in body)
        if "short" in fault:
            body = body[: len(body) // 2]  # what it says; less than the file, and no more is sent
        if "gzip" in fault:
            self.send_header("Content-Encoding", "gzip")
        if files.etags:
            self.send_header("ETag", etag)
        self.send_header("Accept-Ranges", "bytes")
        if {"endless", "nolength"} & set(fault):
            self.close_connection = True
        else:
            length = files.claimed if "claims" in fault else len(body)
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self._send(body, fault, files.rates.get(path))

    def _wanted(self, size: int, etag: str, fault: list[str]) -> tuple[int, int]:
        """The first byte, and the one after the last."""
        first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if "norange" in fault or not first.isdecimal():
            return 0, size
        if self.headers.get("If-Range", etag) != etag:
            del self.headers["Range"]
            return 0, size
        return int(first), min(size, int(last) + 1) if last else size

    def _send(self, data: bytes, fault: list[str], rate: float | None) -> None:
        files = self.server.files
        if rate is not None:
            for start in range(0, len(data), 1 << 14):
                if files.stopping.wait((1 << 14) / rate):
                    return
                self.wfile.write(data[start : start + (1 << 14)])
            return
        if "reset" in fault:
            self._reset(data)
            return
        if not {"stall", "cut", "endless"} & set(fault):
            self.wfile.write(data)
            return
        self.wfile.write(
            data if "nolength" in fault and len(data) <= LAST else data[: len(data) // 2]
        )
        self.wfile.flush()
        while "endless" in fault and not files.stopping.is_set():
            self.wfile.write(data)
        if "stall" in fault:
            files.stopping.wait(30)
        self.close_connection = True

    def _reset(self, data: bytes) -> None:
        self.wfile.write(data[:RESET_EVERY])
        self.wfile.flush()
        if len(data) > RESET_EVERY:
            time.sleep(0.005)  # for it to arrive: a reset overtakes what is still on the way
            no_linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
            self.close_connection = True
            self.connection.close()

    def _refuse(self, status: int, retry_after: str) -> None:
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _redirect(self, target: str) -> None:
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as its base names it
        """Nothing on the tests' own output."""
