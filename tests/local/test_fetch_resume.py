"""Downloads that break off are continued, and bytes of another file never get through."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.http import RESET_EVERY, FileServer, file_server
from tests.fakes.recorder import Recorder, quiet_op
from vagrantish.errors import DigestMismatch, FetchError, HostError
from vagrantish.events import Cancel, Cancelled, Op, Progress
from vagrantish.fetch import Download, Haste, Patience, Sink, Transport, fetch_remote, sweep
from vagrantish.fetch.partial import Partial, key_of
from vagrantish.model import Digest, Remote
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = os.urandom(1 << 20)
HURRIED = Patience(connect_s=2, read_s=0.15, tries=3, backoff_s=0.01)
ROOT = Path(__file__).resolve().parents[2]


class Kept:
    """A sink that remembers; ``begun`` counts its beginnings."""

    def __init__(self) -> None:
        self.data = b""
        self.begun = 0

    def begin(self) -> None:
        self.data = b""
        self.begun += 1

    def write(self, data: bytes) -> None:
        self.data += data

    @property
    def keeps(self) -> bool:
        return True


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as files:
        files.files["/disk.img"] = IMAGE
        yield files


@pytest.fixture
def home(tmp_path: Path) -> VxHome:
    return VxHome(tmp_path / "home")


def digest_of(data: bytes) -> Digest:
    return Digest(algorithm="sha256", hex=hashlib.sha256(data).hexdigest())


def get(
    *urls: str,
    home: VxHome,
    digest: Digest | None = None,
    size_bytes: int | None = None,
    op: Op | None = None,
    sink: Sink | None = None,
    patience: Patience = HURRIED,
    haste: Haste | None = None,
) -> Download:
    return fetch_remote(
        Remote(urls=urls, digest=digest, size_bytes=size_bytes),
        home=home,
        max_bytes=8 << 20,
        op=op or quiet_op(),
        sink=sink,
        transport=Transport(patience),
        haste=haste,
    )


def put_partial(
    home: VxHome, url: str, data: bytes, *, validator: str, pinned: bool = True
) -> None:
    """What a vx that was killed leaves."""
    key = f"sha256-{digest_of(IMAGE).hex[:40]}" if pinned else f"url-{key_of(url)}"
    folder = home.downloads / key
    folder.mkdir(parents=True)
    (folder / "data.part").write_bytes(data)
    total = len(IMAGE)
    (folder / "meta.json").write_text(
        f'{{"url_key": "{key_of(url)}", "validator": "{validator}", "total": {total}}}'
    )


def etag_of(data: bytes) -> str:
    return f'\\"{hashlib.sha256(data).hexdigest()[:16]}\\"'


def test_a_reset_every_64_kib_delays_and_does_no_more(server: FileServer, home: VxHome) -> None:
    server.faults["/disk.img"] = "reset"
    sink = Kept()

    got = get(f"{server.url}/disk.img", home=home, digest=digest_of(IMAGE), sink=sink)

    assert got.path.read_bytes() == IMAGE
    assert (sink.data, sink.begun) == (IMAGE, 1)
    assert len(server.requests) >= len(IMAGE) // RESET_EVERY
    assert server.requests[1][1] == f"bytes={RESET_EVERY}-"


def test_resets_on_a_server_without_ranges_come_to_an_end(server: FileServer, home: VxHome) -> None:
    server.faults["/disk.img"] = "reset norange"

    with pytest.raises(FetchError, match=r"disk\.img: "):
        get(f"{server.url}/disk.img", home=home, digest=digest_of(IMAGE))

    assert len(server.requests) == 1 + HURRIED.tries


def test_a_partial_download_is_continued_and_its_start_hashed_again(
    server: FileServer, home: VxHome
) -> None:
    url = f"{server.url}/disk.img"
    put_partial(home, url, IMAGE[:300_000], validator=etag_of(IMAGE))
    told, sink = Recorder(), Kept()

    got = get(url, home=home, digest=digest_of(IMAGE), op=Op(told, Cancel()), sink=sink)

    assert got.path.read_bytes() == IMAGE
    assert got.fetched.sha256 == digest_of(IMAGE).hex
    assert sink.data == IMAGE
    assert server.asked("/disk.img") == ["bytes=300000-"]
    assert next(e.done for e in told.events if isinstance(e, Progress)) == 300_000


@pytest.mark.parametrize("pinned", [True, False])
def test_a_partial_of_a_file_that_changed_is_begun_anew(
    server: FileServer, home: VxHome, pinned: bool
) -> None:
    url = f"{server.url}/disk.img"
    put_partial(home, url, b"old" * 1000, validator='\\"old\\"', pinned=pinned)
    sink = Kept()

    got = get(url, home=home, digest=digest_of(IMAGE) if pinned else None, sink=sink)

    assert got.path.read_bytes() == sink.data == IMAGE
    assert server.asked("/disk.img") == ["bytes=3000-"]


def test_a_server_that_does_not_say_the_size_and_stops_early_is_asked_for_the_rest(
    server: FileServer, home: VxHome
) -> None:
    server.faults["/disk.img"] = "nolength cut"

    got = get(f"{server.url}/disk.img", home=home, digest=digest_of(IMAGE), size_bytes=len(IMAGE))

    assert got.path.read_bytes() == IMAGE
    assert len(server.requests) > 2


def test_without_validator_and_digest_a_partial_is_not_trusted(
    server: FileServer, home: VxHome
) -> None:
    url = f"{server.url}/disk.img"
    put_partial(home, url, IMAGE[:1000], validator="", pinned=False)

    got = get(url, home=home)

    assert got.path.read_bytes() == IMAGE
    assert server.asked("/disk.img") == [None]


def test_a_break_without_validator_and_digest_begins_anew(server: FileServer, home: VxHome) -> None:
    server.etags = False
    server.faults["/disk.img"] = "cut"
    timer = threading.Timer(0.05, server.faults.clear)
    timer.start()

    got = get(
        f"{server.url}/disk.img",
        home=home,
        patience=Patience(connect_s=2, read_s=2, tries=9, backoff_s=0.02),
    )

    assert got.path.read_bytes() == IMAGE
    assert set(server.asked("/disk.img")) == {None}


@pytest.mark.parametrize("fault", ["norange", "otherrange", "wrongrange", "longrange"])
def test_a_server_that_lies_about_ranges_is_asked_for_the_whole(
    server: FileServer, home: VxHome, fault: str
) -> None:
    url = f"{server.url}/disk.img"
    put_partial(home, url, IMAGE[:300_000], validator=etag_of(IMAGE))
    server.faults["/disk.img"] = fault
    sink = Kept()

    got = get(url, home=home, digest=digest_of(IMAGE), sink=sink)

    assert got.path.read_bytes() == sink.data == IMAGE
    assert server.asked("/disk.img")[0] == "bytes=300000-"
    assert len(server.requests) == (1 if fault == "norange" else 2)


def test_damaged_bytes_of_a_partial_are_found_and_fetched_again(
    server: FileServer, home: VxHome
) -> None:
    url = f"{server.url}/disk.img"
    put_partial(home, url, b"\0" * 300_000, validator=etag_of(IMAGE))

    got = get(url, home=home, digest=digest_of(IMAGE))

    assert got.path.read_bytes() == IMAGE
    assert server.asked("/disk.img") == ["bytes=300000-", None]


def test_a_partial_that_is_complete_needs_no_request(server: FileServer, home: VxHome) -> None:
    url = f"{server.url}/disk.img"
    put_partial(home, url, IMAGE, validator=etag_of(IMAGE))
    sink = Kept()

    got = get(url, home=home, digest=digest_of(IMAGE), sink=sink)

    assert got.path.read_bytes() == sink.data == IMAGE
    assert server.requests == []


def test_a_partial_longer_than_the_file_is_begun_anew(server: FileServer, home: VxHome) -> None:
    url = f"{server.url}/disk.img"
    put_partial(home, url, IMAGE + b"more", validator=etag_of(IMAGE))

    got = get(url, home=home, digest=digest_of(IMAGE))

    assert got.path.read_bytes() == IMAGE
    assert server.asked("/disk.img") == [f"bytes={len(IMAGE) + 4}-", None]


def test_wrong_bytes_are_not_kept_for_the_next_time(server: FileServer, home: VxHome) -> None:
    server.faults["/disk.img"] = "html"

    with pytest.raises(DigestMismatch) as caught:
        get(f"{server.url}/disk.img", home=home, digest=digest_of(IMAGE))

    assert "an HTML page" in caught.value.hint
    assert list(home.downloads.rglob("*")) == []


def test_another_size_than_promised_is_seen_before_the_body(
    server: FileServer, home: VxHome
) -> None:
    server.faults["/disk.img"] = "html"

    with pytest.raises(FetchError, match="bytes instead of 1048576, and is an HTML page"):
        get(
            f"{server.url}/disk.img",
            home=home,
            digest=digest_of(IMAGE),
            size_bytes=len(IMAGE),
        )


def test_mirrors_are_tried_in_order_and_go_on_where_the_first_stopped(
    server: FileServer, home: VxHome
) -> None:
    server.files["/mirror.img"] = IMAGE
    server.faults["/disk.img"] = "stall"

    got = get(
        f"{server.url}/gone.img",
        f"{server.url}/disk.img",
        f"{server.url}/mirror.img",
        home=home,
        digest=digest_of(IMAGE),
    )

    assert got.path.read_bytes() == IMAGE
    assert got.fetched.url == f"{server.url}/mirror.img"
    ranges = server.asked("/mirror.img")
    assert len(ranges) == 1
    assert ranges[0] is not None
    assert int(ranges[0].removeprefix("bytes=").rstrip("-")) >= len(IMAGE) // 2


def test_when_every_mirror_fails_each_is_named_with_its_reason(
    server: FileServer, home: VxHome
) -> None:
    server.faults["/disk.img"] = "html"

    with pytest.raises(FetchError) as caught:
        get(
            f"{server.url}/gone.img",
            f"{server.url}/disk.img",
            home=home,
            digest=digest_of(IMAGE),
        )

    lines = caught.value.message.splitlines()
    assert lines[0] == "none of 2 places gives the file:"
    assert "/gone.img: the server answered 404" in lines[1]
    assert "/disk.img: it is not the promised file: expected sha256:" in lines[2]


def test_what_came_of_a_failed_download_is_kept_and_that_is_said(
    server: FileServer, home: VxHome
) -> None:
    server.faults["/disk.img"] = "stall"

    with pytest.raises(FetchError, match="silent") as caught:
        get(f"{server.url}/disk.img", home=home, digest=digest_of(IMAGE))
    server.faults.clear()
    server.requests.clear()
    get(f"{server.url}/disk.img", home=home, digest=digest_of(IMAGE))

    assert "is kept" in caught.value.hint
    assert server.requests[0][1] is not None


class Refusing(Kept):
    """Takes nothing but what begins as the image does."""

    def write(self, data: bytes) -> None:
        if not self.data and not data.startswith(IMAGE[:16]):
            raise LookupError("no such format")
        super().write(data)


class Broken(Kept):
    def write(self, data: bytes) -> None:
        raise LookupError("cannot be unpacked")


def test_what_a_sink_raises_for_the_right_bytes_comes_through(
    server: FileServer, home: VxHome
) -> None:
    with pytest.raises(LookupError, match="cannot be unpacked"):
        get(f"{server.url}/disk.img", home=home, digest=digest_of(IMAGE), sink=Broken())


def test_of_wrong_bytes_it_is_said_that_they_are_wrong_not_what_the_sink_thinks_of_them(
    server: FileServer, home: VxHome
) -> None:
    server.faults["/disk.img"] = "html"

    with pytest.raises(DigestMismatch):
        get(f"{server.url}/disk.img", home=home, digest=digest_of(IMAGE), sink=Refusing())


def test_a_mirror_gets_a_sink_that_refused_the_bytes_of_another(
    server: FileServer, home: VxHome
) -> None:
    server.files["/mirror.img"] = IMAGE
    server.faults["/disk.img"] = "html"
    sink = Refusing()

    get(
        f"{server.url}/disk.img",
        f"{server.url}/mirror.img",
        home=home,
        digest=digest_of(IMAGE),
        sink=sink,
    )

    assert sink.data == IMAGE


def test_without_a_digest_bytes_that_the_sink_refuses_are_not_kept(
    server: FileServer, home: VxHome
) -> None:
    with pytest.raises(LookupError):
        get(f"{server.url}/disk.img", home=home, sink=Broken())

    assert list(home.downloads.rglob("*")) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), HostError("full")])
def test_a_host_that_cannot_go_on_is_told_at_once(
    server: FileServer, home: VxHome, error: Exception
) -> None:
    class Full(Kept):
        def write(self, data: bytes) -> None:
            raise error

    server.rates["/disk.img"] = 256 << 10
    started = time.monotonic()

    with pytest.raises(type(error), match=str(error.args[-1])):
        get(f"{server.url}/disk.img", home=home, digest=digest_of(IMAGE), sink=Full())

    assert time.monotonic() - started < 3, "the whole takes 4 s"


def test_a_slow_stream_is_split_into_several_that_together_are_faster(
    server: FileServer, home: VxHome
) -> None:
    server.rates["/disk.img"] = 256 << 10
    haste = Haste(block_bytes=128 << 10, worth_bytes=256 << 10, slow_bytes_s=4 << 20, watch_s=0.1)
    sink = Kept()
    started = time.monotonic()

    got = get(f"{server.url}/disk.img", home=home, digest=digest_of(IMAGE), haste=haste, sink=sink)

    took = time.monotonic() - started
    assert got.path.read_bytes() == sink.data == IMAGE
    assert len(server.requests) > 4
    assert took < 3, "one stream takes 4 s"


def test_a_server_that_refuses_several_streams_gets_one(server: FileServer, home: VxHome) -> None:
    server.rates["/disk.img"] = 4 << 20
    server.faults["/disk.img"] = "onestream"
    haste = Haste(block_bytes=64 << 10, worth_bytes=64 << 10, slow_bytes_s=1 << 30, watch_s=0.05)

    got = get(f"{server.url}/disk.img", home=home, digest=digest_of(IMAGE), haste=haste)

    assert got.path.read_bytes() == IMAGE
    ranges = server.asked("/disk.img")
    assert ranges[0] is None
    assert len([wanted for wanted in ranges[1:] if wanted and wanted.endswith("-")]) == 1


# --- other processes ---------------------------------------------------------------------------

_CHILD = """
import hashlib, sys
from pathlib import Path
from tests.fakes.recorder import quiet_op
from vagrantish.fetch import fetch_remote
from vagrantish.model import Digest, Remote
from vagrantish.paths import VxHome
url, home, hexdigest, target = sys.argv[1:]
remote = Remote(urls=(url,), digest=Digest(algorithm="sha256", hex=hexdigest))
with fetch_remote(remote, home=VxHome(Path(home)), max_bytes=8 << 20, op=quiet_op()) as got:
    got.take(Path(target))
"""


def start_child(server: FileServer, home: VxHome, target: Path) -> subprocess.Popen[bytes]:
    arguments = [f"{server.url}/disk.img", home.root, digest_of(IMAGE).hex, target]
    return subprocess.Popen([sys.executable, "-c", _CHILD, *map(str, arguments)], cwd=ROOT)


def part_size(home: VxHome) -> int:
    return sum(path.stat().st_size for path in home.downloads.rglob("data.part"))


def wait_for_part(home: VxHome, size: int) -> None:
    deadline = time.monotonic() + 20
    while part_size(home) < size:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_for_waiting(home: VxHome, count: int) -> None:
    """Until that many wait while one downloads."""
    deadline = time.monotonic() + 20
    while len(list(home.downloads.glob("*.wanted.*"))) != count or not part_files(home):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def part_files(home: VxHome) -> list[Path]:
    return list(home.downloads.rglob("data.part"))


def test_a_download_survives_kill_9_and_is_continued_by_another(
    server: FileServer, home: VxHome, tmp_path: Path
) -> None:
    server.rates["/disk.img"] = 512 << 10
    child = start_child(server, home, tmp_path / "x")
    wait_for_part(home, 100_000)
    child.send_signal(signal.SIGKILL)
    child.wait()
    kept = part_size(home)
    server.rates.clear()
    server.requests.clear()

    got = get(f"{server.url}/disk.img", home=home, digest=digest_of(IMAGE))

    assert got.path.read_bytes() == IMAGE
    assert server.asked("/disk.img") == [f"bytes={kept}-"]


def test_two_processes_that_want_one_file_download_it_once(
    server: FileServer, home: VxHome, tmp_path: Path
) -> None:
    server.gate = threading.Event()
    children = [start_child(server, home, tmp_path / name) for name in ("a", "b", "c")]
    wait_for_waiting(home, 2)
    server.gate.set()

    assert [child.wait(30) for child in children] == [0, 0, 0]
    assert [(tmp_path / name).read_bytes() for name in ("a", "b", "c")] == [IMAGE] * 3
    assert len(server.requests) == 1
    assert list(home.downloads.rglob("*")) == []


def test_threads_that_want_one_file_without_a_digest_download_it_once(
    server: FileServer, home: VxHome
) -> None:
    server.gate = threading.Event()
    got: list[bytes] = []

    def work() -> None:
        with get(f"{server.url}/disk.img", home=home) as download:
            got.append(download.path.read_bytes())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_for_waiting(home, 2)
    server.gate.set()
    for thread in threads:
        thread.join()

    assert got == [IMAGE] * 3
    assert len(server.requests) == 1


def test_a_file_that_a_killed_vx_had_finished_is_used(server: FileServer, home: VxHome) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    home.downloads.mkdir(parents=True)
    key = f"sha256-{digest_of(IMAGE).hex[:40]}"
    (home.downloads / f"{key}.got.{gone.pid}.0123abcd").write_bytes(IMAGE)

    got = get(f"{server.url}/disk.img", home=home, digest=digest_of(IMAGE))

    assert got.path.read_bytes() == IMAGE
    assert server.requests == []


def test_without_a_digest_an_old_finished_file_is_fetched_again(
    server: FileServer, home: VxHome
) -> None:
    url = f"{server.url}/disk.img"
    partial = Partial(home.downloads, f"url-{key_of(url)}")
    partial.open()
    partial.data.write_bytes(b"of last month")
    time.sleep(0.02)

    got = get(url, home=home)

    assert got.path.read_bytes() == IMAGE


def test_without_a_digest_what_a_killed_vx_had_finished_is_fetched_again(
    server: FileServer, home: VxHome
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    home.downloads.mkdir(parents=True)
    url = f"{server.url}/disk.img"
    (home.downloads / f"url-{key_of(url)}.got.{gone.pid}.0123abcd").write_bytes(b"before")
    time.sleep(0.02)

    got = get(url, home=home)

    assert got.path.read_bytes() == IMAGE
    assert len(server.requests) == 1


def test_a_silent_server_does_not_delay_the_users_wish_to_stop(
    server: FileServer, home: VxHome
) -> None:
    server.faults["/disk.img"] = "stall"
    cancel = Cancel()
    threading.Timer(0.2, cancel.set).start()
    started = time.monotonic()

    with pytest.raises(Cancelled):
        get(
            f"{server.url}/disk.img",
            home=home,
            digest=digest_of(IMAGE),
            op=Op(Recorder(), cancel),
            patience=Patience(read_s=30),
        )

    assert time.monotonic() - started < 2


_FULL = """
import resource, signal, sys
from pathlib import Path
from tests.fakes.recorder import quiet_op
from vagrantish.errors import HostError
from vagrantish.fetch import fetch_remote
from vagrantish.model import Digest, Remote
from vagrantish.paths import VxHome
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
url, home, hexdigest = sys.argv[1:]
remote = Remote(urls=(url,), digest=Digest(algorithm="sha256", hex=hexdigest))
try:
    fetch_remote(remote, home=VxHome(Path(home)), max_bytes=8 << 20, op=quiet_op())
except HostError as error:
    print(error.message, "|", error.hint)
"""


def test_a_disk_that_is_full_mid_way_is_a_host_error_and_the_start_is_kept(
    server: FileServer, home: VxHome
) -> None:
    arguments = [f"{server.url}/disk.img", str(home.root), digest_of(IMAGE).hex]
    done = subprocess.run(
        [sys.executable, "-c", _FULL, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    server.requests.clear()

    got = get(f"{server.url}/disk.img", home=home, digest=digest_of(IMAGE))

    assert "cannot write" in done.stdout, done.stderr
    assert "| Its file system or `ulimit -f` allows no file that big" in done.stdout
    assert "is kept" in done.stdout
    assert got.path.read_bytes() == IMAGE
    assert server.asked("/disk.img") == ["bytes=200000-"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 200_000


def test_a_file_bigger_than_the_free_space_is_refused_before_it_is_fetched(
    server: FileServer, home: VxHome
) -> None:
    server.faults["/disk.img"] = "claims"
    server.claimed = 1 << 49

    with pytest.raises(HostError, match=r"512TiB more in .* are free"):
        fetch_remote(
            Remote(urls=(f"{server.url}/disk.img",), digest=digest_of(IMAGE)),
            home=home,
            max_bytes=1 << 50,
            op=quiet_op(),
        )


def test_downloads_nobody_touched_for_long_are_swept(server: FileServer, home: VxHome) -> None:
    put_partial(home, "http://x/", b"x" * 1000, validator="")
    (home.downloads / "linux_6.1.deb").write_bytes(b"of another kind")

    young = sweep(home.downloads, older_than_s=3600, now=time.time())
    old = sweep(home.downloads, older_than_s=3600, now=time.time() + 7200)

    assert young == 0
    assert old >= 1000
    assert [path.name for path in home.downloads.iterdir()] == ["linux_6.1.deb"]
