"""How fast a download is beside the slowest thing it cannot do without: transfer or hash.

Alone: ``.venv/bin/python scripts/bench_fetch.py [MEGABYTES]``. The server runs in a process of its
own and sends with sendfile, so that it is never what is measured.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vagrantish.events import Cancel, Op
from vagrantish.fetch import fetch_remote
from vagrantish.model import Digest, Remote
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vagrantish.events import Event
    from vagrantish.fetch import Download

ROUNDS = 5
_SERVER = """
import os, socket, sys, threading
path = sys.argv[1]
size = os.path.getsize(path)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)

def serve(connection):
    with connection, open(path, "rb") as file:
        while True:
            head = b""
            while b"\\r\\n\\r\\n" not in head:
                data = connection.recv(65536)
                if not data:
                    return
                head += data
            start = 0
            for line in head.lower().split(b"\\r\\n"):
                if line.startswith(b"range: bytes="):
                    start = int(line[13:].partition(b"-")[0])
            status = "206 Partial Content" if start else "200 OK"
            extra = f"Content-Range: bytes {start}-{size - 1}/{size}\\r\\n" if start else ""
            connection.sendall(
                f"HTTP/1.1 {status}\\r\\nContent-Length: {size - start}\\r\\n"
                f'ETag: "one"\\r\\nAccept-Ranges: bytes\\r\\n{extra}\\r\\n'.encode()
            )
            connection.sendfile(file, start)

while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
"""


@dataclass(frozen=True)
class Result:
    transfer_s: float
    hash_s: float
    plain_s: float  # transfer, hash and write, one after the other, as a short script would
    fetch_s: float

    @property
    def ratio(self) -> float:
        """Speed against the slowest necessary stage alone; 1.0 is as fast."""
        return max(self.transfer_s, self.hash_s) / self.fetch_s


class _Silent:
    def emit(self, event: Event, /) -> None:
        del event


@contextmanager
def serving(path: Path) -> Iterator[str]:
    """The URL of a file, from a server in another process."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(path)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}/{path.name}"
        finally:
            server.kill()


def measure(folder: Path, size_bytes: int = 500_000_000, rounds: int = ROUNDS) -> Result:
    """Medians, everything measured in turns. Needs three times the size in ``folder``."""
    path = folder / "image"
    digest = _make(path, size_bytes)
    times: dict[str, list[float]] = {name: [] for name in ("transfer", "hash", "plain", "fetch")}
    with serving(path) as url:
        _transfer(url)
        for _ in range(rounds):
            times["transfer"].append(_timed(lambda: _transfer(url)))
            times["hash"].append(_timed(lambda: _hash(path)))
            times["plain"].append(_timed(lambda: _plain(url, folder / "plain")))
            (folder / "plain").unlink()
            started = time.perf_counter()
            got = _fetch(url, digest, folder)
            times["fetch"].append(time.perf_counter() - started)
            got.discard()
    return Result(*(statistics.median(times[name]) for name in times))


def _make(path: Path, size_bytes: int) -> Digest:
    block = os.urandom(1 << 20)
    hasher = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size_bytes, len(block)):
            data = block[: size_bytes - start]
            file.write(data)
            hasher.update(data)
    return Digest(algorithm="sha256", hex=hasher.hexdigest())


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _transfer(url: str) -> None:
    import requests

    with requests.get(url, stream=True, timeout=60) as response:
        while response.raw.read(1 << 20):
            pass


def _hash(path: Path) -> None:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            hasher.update(data)


def _plain(url: str, target: Path) -> None:
    import requests

    hasher = hashlib.sha256()
    with requests.get(url, stream=True, timeout=60) as response, target.open("wb") as file:
        while data := response.raw.read(1 << 20):
            hasher.update(data)
            file.write(data)


def _fetch(url: str, digest: Digest, home: Path) -> Download:
    remote = Remote(urls=(url,), digest=digest)
    op = Op(_Silent(), Cancel())
    return fetch_remote(remote, home=VxHome(home), max_bytes=1 << 40, op=op)


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory(prefix="vx-bench-") as folder:
        result = measure(Path(folder), megabytes * 10**6)
    for name, seconds in (
        ("transfer alone", result.transfer_s),
        ("sha256 alone", result.hash_s),
        ("one after the other", result.plain_s),
        ("vx", result.fetch_s),
    ):
        print(f"{name:20} {seconds:6.2f} s  {megabytes / seconds:7.0f} MB/s")
    print(f"{'of the slowest stage':20} {result.ratio:6.2f}x")


if __name__ == "__main__":
    main()
