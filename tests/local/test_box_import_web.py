"""Boxes from URLs: what protects them, and what is kept when something fails."""

from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.fakes import bootdisks, own_images
from tests.fakes.fileserver import folder_server
from tests.fakes.own_images import imported, left_in, tar_of
from tests.fakes.recorder import Recorder, quiet_op
from vagrantish.box.import_job import Wishes
from vagrantish.errors import BoxError, DigestMismatch, FetchError
from vagrantish.events import Cancel, Op
from vagrantish.model import ArtifactKind, Digest
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.fileserver import FolderServer

_MISSING = bootdisks.missing("mkfs.ext4")
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {_MISSING}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FolderServer]:
    """With disk.raw, and that compressed and in a tar archive."""
    folder = tmp_path_factory.mktemp("served")
    raw = own_images.disk(folder / "disk.raw")
    (folder / "disk.raw.gz").write_bytes(gzip.compress(raw.read_bytes()))
    tar_of(folder / "disk.tar.gz", {"disk.raw": raw}, packing="gz")
    (folder / "page").write_text("<!doctype html><title>Not here</title>", encoding="ascii")
    with folder_server(folder) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> VxHome:
    return VxHome(tmp_path / "home")


def digest_of(path: Path) -> Digest:
    return Digest(algorithm="sha256", hex=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("name", ["disk.raw", "disk.raw.gz", "disk.tar.gz"])
def test_a_pinned_image_is_taken_from_the_web(
    home: VxHome, server: FolderServer, name: str
) -> None:
    digest = digest_of(server.folder / name)
    url = f"{server.url}/{name}"
    watched = Recorder()

    box = imported(home, url, Op(watched, Cancel()), wishes=Wishes(name="mine", digest=digest))

    assert box.artifacts[ArtifactKind.DISK].digest == digest_of(server.folder / "disk.raw")
    assert (box.label, box.origin) == ("mine@1", url)
    (source,) = box.sources
    assert (source.url, source.fetched.verified, source.pinned) == (url, "pinned", str(digest))
    assert not any("vouches" in note for note in watched.notes())
    assert list(home.downloads.iterdir()) == []


def test_an_image_nothing_vouches_for_is_told_with_its_digest(
    home: VxHome, server: FolderServer
) -> None:
    watched = Recorder()

    imported(home, f"{server.url}/disk.raw", Op(watched, Cancel()))

    assert f"--digest {digest_of(server.folder / 'disk.raw')} holds it" in watched.notes()[-1]


def test_a_wrong_file_is_refused(home: VxHome, server: FolderServer) -> None:
    wishes = Wishes(name="mine", digest=Digest(algorithm="sha256", hex="0" * 64))

    with pytest.raises(DigestMismatch):
        imported(home, f"{server.url}/disk.raw.gz", quiet_op(), wishes=wishes)

    assert left_in(home) == []


def test_plain_http_needs_a_digest(home: VxHome) -> None:
    with pytest.raises(BoxError, match="comes over plain http") as caught:
        imported(home, "http://vx.invalid/disk.raw", quiet_op())

    assert "--digest" in caught.value.hint


def test_a_disk_without_a_name_is_refused_before_it_is_fetched(
    home: VxHome, server: FolderServer
) -> None:
    before = len(server.requests)

    with pytest.raises(BoxError, match="does not say what the box is to be called"):
        imported(home, f"{server.url}/disk.raw.gz", quiet_op(), wishes=Wishes())

    assert len(server.requests) == before


@pytest.mark.parametrize(
    ("path", "why"), [("page", "is an HTML page"), ("gone", "404"), ("disk.raw?secret=1", "")]
)
def test_what_is_no_image_is_refused_and_secrets_are_not_told(
    home: VxHome, server: FolderServer, path: str, why: str
) -> None:
    watched = Recorder()
    if why:
        with pytest.raises(BoxError, match=why):
            imported(home, f"{server.url}/{path}", Op(watched, Cancel()))
    else:
        box = imported(home, f"{server.url}/{path}", Op(watched, Cancel()))
        assert "secret" not in box.origin

    assert not any("secret" in note for note in watched.notes())


def test_other_schemes_are_refused(home: VxHome) -> None:
    with pytest.raises(FetchError, match="only http and https"):
        imported(home, "ftp://vx.invalid/x", quiet_op())


@pytest.mark.parametrize("url", ["https://[::1/x.qcow2", "https://[::1/x", "https://a:b/c.json"])
@pytest.mark.parametrize("provider", [None, "libvirt"])
def test_a_malformed_url_is_told(home: VxHome, url: str, provider: str | None) -> None:
    with pytest.raises(FetchError, match="the URL is malformed"):
        imported(home, url, quiet_op(), wishes=Wishes(name="mine", provider=provider))


def test_a_url_without_a_server_is_told(home: VxHome) -> None:
    with pytest.raises(FetchError, match="names no server"):
        imported(home, "https:///x.qcow2", quiet_op())


def test_a_packed_box_is_taken_from_the_web(
    home: VxHome, server: FolderServer, tmp_path: Path
) -> None:
    toml = b'name = "own"\nversion = "3"\narch = "x86_64"\nkernel = "vmlinuz"\n'
    tar_of(
        server.folder / "own.tar.gz", {"vmlinuz": own_images.KERNEL, "box.toml": toml}, packing="gz"
    )

    box = imported(home, f"{server.url}/own.tar.gz", quiet_op(), wishes=Wishes())

    assert (box.label, box.origin) == ("own@3", f"{server.url}/own.tar.gz")
