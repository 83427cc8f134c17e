"""Downloads: whole and as promised, or an error and nothing left."""

from __future__ import annotations

import gzip
import hashlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.http import FileServer, file_server
from tests.fakes.recorder import Recorder, quiet_op
from vagrantish.errors import DigestMismatch, FetchError, HostError
from vagrantish.events import Cancel, Cancelled, Op, Progress
from vagrantish.fetch import Patience, Transport, fetch
from vagrantish.model import Digest
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KERNEL = bytes(range(256)) * 4096  # 1 MiB
HURRIED = Patience(connect_s=2, read_s=0.3, tries=2, backoff_s=0.01)


def digest_of(data: bytes, algorithm: str = "sha256") -> Digest:
    return Digest(algorithm=algorithm, hex=hashlib.new(algorithm, data).hexdigest())


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as files:
        files.files["/vmlinuz"] = KERNEL
        yield files


def get(url: str, target: Path, data: bytes = KERNEL, *, max_bytes: int = 8 << 20) -> None:
    fetch(
        url,
        digest=digest_of(data),
        target=target,
        max_bytes=max_bytes,
        home=home_of(target),
        op=quiet_op(),
        transport=Transport(HURRIED),
    )


def home_of(target: Path) -> VxHome:
    """Beside the folder of the target, on the same file system."""
    return VxHome(target.parent.parent / f"{target.parent.name}-home")


def left_behind(folder: Path) -> list[Path]:
    """What of a download is still there, anywhere."""
    home = home_of(folder / "x")
    return [*folder.iterdir(), *home.downloads.rglob("*"), *home.tmp.rglob("*")]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_file_arrives_whole_with_progress(
    server: FileServer, tmp_path: Path, algorithm: str
) -> None:
    told = Recorder()

    fetch(
        f"{server.url}/vmlinuz",
        digest=digest_of(KERNEL, algorithm),
        target=tmp_path / "kernel",
        max_bytes=len(KERNEL),
        home=home_of(tmp_path / "kernel"),
        op=Op(told, Cancel()),
    )

    assert (tmp_path / "kernel").read_bytes() == KERNEL
    assert left_behind(tmp_path) == [tmp_path / "kernel"]
    progress = [event for event in told.events if isinstance(event, Progress)]
    assert (progress[-1].done, progress[-1].total) == (len(KERNEL), len(KERNEL))


def test_a_redirect_is_followed(server: FileServer, tmp_path: Path) -> None:
    server.redirects["/latest"] = "/vmlinuz"

    get(f"{server.url}/latest", tmp_path / "kernel")

    assert (tmp_path / "kernel").read_bytes() == KERNEL


def test_bytes_are_taken_as_sent_whatever_the_server_labels_them(
    server: FileServer, tmp_path: Path
) -> None:
    packed = gzip.compress(KERNEL)
    server.files["/initrd.gz"] = packed
    server.faults["/initrd.gz"] = "gzip"

    get(f"{server.url}/initrd.gz", tmp_path / "initrd", packed)

    assert (tmp_path / "initrd").read_bytes() == packed


def test_other_bytes_than_promised_are_refused(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch, match="vmlinuz is not the promised file") as caught:
        get(f"{server.url}/vmlinuz", tmp_path / "kernel", b"another")

    assert caught.value.actual == str(digest_of(KERNEL))
    assert "digest" in caught.value.hint
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("404", "answered 404 Not Found"),
        ("stall", "went silent"),
        ("cut", "broke off"),
        ("loop", "more than 10 redirects"),
        ("endless", "bigger than the 8MiB"),
    ],
)
def test_a_servers_fault_is_named_and_the_target_is_not_made(
    server: FileServer, tmp_path: Path, fault: str, why: str
) -> None:
    server.faults["/vmlinuz"] = fault

    with pytest.raises(FetchError, match=why):
        get(f"{server.url}/vmlinuz", tmp_path / "kernel")

    assert not (tmp_path / "kernel").exists()


def test_half_a_file_that_claims_to_be_whole_is_not_the_promised_one(
    server: FileServer, tmp_path: Path
) -> None:
    server.faults["/vmlinuz"] = "short"

    with pytest.raises(DigestMismatch):
        get(f"{server.url}/vmlinuz", tmp_path / "kernel")

    assert left_behind(tmp_path) == []


def test_more_than_allowed_is_refused_before_it_is_read(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="bigger than the 1KiB"):
        get(f"{server.url}/vmlinuz", tmp_path / "kernel", max_bytes=1024)

    assert left_behind(tmp_path) == []


def test_an_earlier_file_stays_when_the_new_one_fails(server: FileServer, tmp_path: Path) -> None:
    target = tmp_path / "kernel"
    target.write_bytes(b"old")
    server.faults["/vmlinuz"] = "cut"

    with pytest.raises(FetchError):
        get(f"{server.url}/vmlinuz", target)

    assert target.read_bytes() == b"old"


def test_nobody_listening_is_said_so(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        with pytest.raises(FetchError, match="connection refused") as caught:
            get(f"http://127.0.0.1:{port}/vmlinuz", tmp_path / "kernel")

    assert "network" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "http://[", "http://127.0.0.1:99999/"],
)
def test_a_url_of_another_kind_or_none_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError):
        get(url, tmp_path / "kernel")


def test_a_redirect_to_a_local_file_is_not_followed(server: FileServer, tmp_path: Path) -> None:
    server.redirects["/latest"] = "file:///etc/hostname"

    with pytest.raises(FetchError, match="not http or https"):
        get(f"{server.url}/latest", tmp_path / "kernel")


def test_a_password_or_token_in_the_url_reaches_no_message(
    server: FileServer, tmp_path: Path
) -> None:
    url = server.url.replace("://", "://me:secret@") + "/nothing?token=secret"
    told = Recorder()

    with pytest.raises(FetchError) as caught:
        fetch(
            url,
            digest=digest_of(b""),
            target=tmp_path / "x",
            max_bytes=1,
            home=home_of(tmp_path / "x"),
            op=Op(told, Cancel()),
        )

    assert "secret" not in caught.value.message + caught.value.hint + repr(told.events)


def test_a_target_that_cannot_be_written_is_a_host_error(
    server: FileServer, tmp_path: Path
) -> None:
    from pathlib import Path

    with pytest.raises(HostError, match=r"cannot .* /proc"):
        fetch(
            f"{server.url}/vmlinuz",
            digest=digest_of(KERNEL),
            target=Path("/proc/kernel"),
            max_bytes=8 << 20,
            home=VxHome(tmp_path),
            op=quiet_op(),
        )


def test_cancelling_stops_a_download_within_one_piece(server: FileServer, tmp_path: Path) -> None:
    server.faults["/vmlinuz"] = "endless"
    cancel = Cancel()
    threading.Timer(0.2, cancel.set).start()
    started = time.monotonic()

    with pytest.raises(Cancelled):
        fetch(
            f"{server.url}/vmlinuz",
            digest=digest_of(KERNEL),
            target=tmp_path / "kernel",
            max_bytes=1 << 40,
            home=home_of(tmp_path / "kernel"),
            op=Op(Recorder(), cancel),
        )

    assert time.monotonic() - started < 5
    assert not (tmp_path / "kernel").exists()
