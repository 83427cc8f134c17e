"""``vx box add`` of a published image, beside the slowest thing it cannot do without.

That is the transfer, a hash or the decompression, each alone and done by the program everybody
uses for it: curl, sha256sum, zstd or xz, on one core and writing nothing. What OpenSSL, which vx
hashes with, takes for the hash is shown as well. vx's files are on the disk when it ends. The server runs in a process of its
own and sends with sendfile, so that it is never what is measured.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.bench_boximage import filled
from scripts.bench_machine import VX
from scripts.bench_table import Row, Series, timed, took

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GIB = 1 << 30
# Programs that pack, and those that unpack to nowhere, on one core as vx does.
PACKED = {
    "zst": (("zstd", "-q", "-T0", "-3", "-k"), ("zstd", "-q", "-t", "-T1")),
    "xz": (("xz", "-q", "-T0", "-0", "-k"), ("xz", "-q", "-t", "-T1")),
}
DEFINITION = """\
name = "bench"
user = "debian"
seed = "cloud-init"
root = "disk"
disk_boots = true
cmdline = "console={{console}}"
disk.url = "{url}"

[release.1.build.1]
x86_64 = {{ digest = "sha256:{digest}", size = {size} }}
"""
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


def rows(repetitions: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="vxf-", dir="/var/tmp") as name:
        folder = Path(name)
        image = filled(folder, 20 * GIB)
        found = _added(image, image, "500 MB qcow2", (), repetitions)
        for suffix, (pack, unpack) in PACKED.items():
            took(*pack, image)
            packed = image.with_name(f"{image.name}.{suffix}")
            found += _added(packed, image, f"500 MB in qcow2.{suffix}", unpack, repetitions)
        return found


def _added(
    image: Path, inside: Path, what: str, unpack: tuple[str, ...], repetitions: int
) -> list[Row]:
    """``inside`` is what it holds; ``unpack`` reads it without writing."""
    stages: dict[str, Callable[[str], object]] = {
        "curl": lambda url: took("curl", "-sf", "-o", "/dev/null", url),
        "sha256sum": lambda _: took("sha256sum", image),
    }
    if unpack:
        stages[unpack[0]] = lambda _: took(*unpack, image)
        stages["sha256sum of the content"] = lambda _: took("sha256sum", inside)
    alone = {name: Series() for name in stages}
    openssl, whole, seconds = Series(), Series(), Series()
    digest = _sha256(image)
    with serving(image) as url:
        for _ in range(repetitions):
            for name, stage in stages.items():
                with timed(alone[name]):
                    stage(url)
            with timed(openssl):
                _sha256(inside)
            with _home(url, digest, image.stat().st_size) as env:
                done = took(VX, "box", "add", "bench", env=env)
            whole.values.append(done.wall_s)
            seconds.values.append(done.cpu_s)
    slowest = max(alone, key=lambda name: statistics.median(alone[name].values))
    return [
        Row(f"`vx box add`, {what}, and {slowest}", alone[slowest], whole, at_least=0.8),
        Row("  the same, and sha256 by OpenSSL", openssl, whole),
        Row("  the same, CPU seconds", Series(), seconds),
    ]


@contextmanager
def _home(url: str, digest: str, size: int) -> Iterator[dict[str, str]]:
    """An empty VX_HOME that knows the box."""
    with tempfile.TemporaryDirectory(prefix="vxh-", dir="/var/tmp") as name:
        home = Path(name)
        (home / "catalog/bench").mkdir(parents=True)
        (home / "catalog/bench/box.toml").write_text(
            DEFINITION.format(url=url, digest=digest, size=size), encoding="utf-8"
        )
        (home / "config.toml").write_text(f'catalogs = ["{home}/catalog"]\n', encoding="utf-8")
        yield os.environ | {"VX_HOME": str(home)}


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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
