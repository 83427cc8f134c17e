"""Boxes made of the Xhyvefile's own files."""

from __future__ import annotations

import gzip
import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.http import FileServer, file_server
from tests.fakes.recorder import Recorder, quiet_op
from tests.fakes.tinybox import box_folder, kernel
from vagrantish.box.store import BoxStore
from vagrantish.errors import BoxError, DigestMismatch, FetchError
from vagrantish.events import Cancel, Op, StepStarted
from vagrantish.formats import cpio
from vagrantish.model import ArtifactKind, BootMode, BoxParts, BoxRef, Digest, RootKind, SeedKind
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vagrantish.model import Box

INITRD = gzip.compress(cpio.archive((cpio.file("init", b"#!/bin/sh\n", mode=0o755),)))
K, R, D = ArtifactKind.KERNEL, ArtifactKind.INITRD, ArtifactKind.DISK


@pytest.fixture
def store(tmp_path: Path) -> BoxStore:
    return BoxStore(VxHome(tmp_path / "home"))


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as files:
        files.files["/vmlinuz"] = kernel()
        yield files


@pytest.fixture
def files(tmp_path: Path) -> dict[ArtifactKind, str]:
    """Settled files: they last changed a while ago."""
    paths = {}
    for kind, data in ((K, kernel()), (R, INITRD), (D, bytes(1 << 20))):
        path = tmp_path / f"my-{kind}"
        path.write_bytes(data)
        os.utime(path, (time.time() - 60,) * 2)
        paths[kind] = str(path)
    return paths


def digest_of(data: bytes, algorithm: str = "sha256") -> Digest:
    return Digest(algorithm=algorithm, hex=hashlib.new(algorithm, data).hexdigest())


def adopt(
    store: BoxStore,
    sources: Mapping[ArtifactKind, str],
    digests: Mapping[ArtifactKind, Digest] | None = None,
    *,
    cmdline: str = "",
    told: Recorder | None = None,
) -> Box:
    parts = BoxParts(sources=sources, digests=digests or {}, cmdline=cmdline)
    return store.adopt(parts, op=Op(told or Recorder(), Cancel()))


def steps(told: Recorder) -> list[str]:
    return [event.name for event in told.events if isinstance(event, StepStarted)]


def test_own_files_become_a_box_without_a_name(
    store: BoxStore, files: dict[ArtifactKind, str]
) -> None:
    parts = BoxParts(sources=files, cmdline="quiet", user="me", seed=SeedKind.OVERLAY)

    box = store.adopt(parts, op=quiet_op())

    assert (box.name, box.label) == ("", "own files")
    assert len(box.version) == 12
    assert (box.cmdline, box.user, box.seed, box.root) == (
        "quiet", "me", SeedKind.OVERLAY, RootKind.DISK,
    )  # fmt: skip
    for kind, source in files.items():
        assert box.artifacts[kind].path.read_bytes() == Path(source).read_bytes()
    assert store.list() == ()


def test_a_second_time_nothing_is_read(store: BoxStore, files: dict[ArtifactKind, str]) -> None:
    first = adopt(store, files)
    told = Recorder()

    assert adopt(store, files, told=told) == first
    assert steps(told) == []


def test_a_changed_file_is_taken_in_again(store: BoxStore, files: dict[ArtifactKind, str]) -> None:
    first = adopt(store, files)
    Path(files[K]).write_bytes(kernel() + b"newer")
    told = Recorder()

    second = adopt(store, files, told=told)

    assert steps(told) == ["box:adopt"]
    assert second.artifacts[K].path.read_bytes() == kernel() + b"newer"
    assert second.artifacts[R] == first.artifacts[R]
    assert second.version != first.version


def test_a_file_changed_a_moment_ago_is_not_taken_for_known(
    store: BoxStore, files: dict[ArtifactKind, str]
) -> None:
    os.utime(files[K])
    adopt(store, files)
    told = Recorder()

    adopt(store, files, told=told)

    assert steps(told) == ["box:adopt"]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_url_with_a_digest_is_fetched_once(
    store: BoxStore, server: FileServer, algorithm: str
) -> None:
    sources = {K: f"{server.url}/vmlinuz"}
    digests = {K: digest_of(kernel(), algorithm)}

    first = adopt(store, sources, digests)
    again = adopt(store, sources, digests)

    assert first == again
    assert first.artifacts[K].path.read_bytes() == kernel()
    assert server.requests == [("/vmlinuz", None)]


def test_a_known_digest_needs_no_network_at_all(store: BoxStore, tmp_path: Path) -> None:
    store.add(box_folder(tmp_path), op=quiet_op())
    digest = digest_of(kernel() + b"1")

    box = adopt(store, {K: "http://127.0.0.1:9/gone"}, {K: digest})

    assert box.artifacts[K].digest == digest


def test_a_url_without_a_digest_is_refused(store: BoxStore, server: FileServer) -> None:
    with pytest.raises(BoxError, match="has no digest") as caught:
        adopt(store, {K: f"{server.url}/vmlinuz"})

    assert "digest = { kernel =" in caught.value.hint
    assert server.requests == []


def test_what_does_not_match_its_digest_is_refused(
    store: BoxStore, server: FileServer, files: dict[ArtifactKind, str], tmp_path: Path
) -> None:
    wrong = {K: digest_of(b"other")}
    for source in (files[K], f"{server.url}/vmlinuz"):
        with pytest.raises(DigestMismatch):
            adopt(store, {K: source}, wrong)

    assert not (tmp_path / "home" / "artifacts").exists()


def test_what_is_missing_on_the_web_is_said_so(store: BoxStore, server: FileServer) -> None:
    with pytest.raises(FetchError, match="404"):
        adopt(store, {K: f"{server.url}/nothing"}, {K: digest_of(b"")})


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"<html>", "an HTML page"), (kernel()[:-1], "cut short"), (b"\x7fELF" + bytes(999), "ELF")],
)
def test_own_files_are_checked_as_a_boxs_are(
    store: BoxStore, tmp_path: Path, data: bytes, why: str
) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(data)

    with pytest.raises(BoxError, match=why) as caught:
        adopt(store, {K: str(path)})

    assert str(path) in caught.value.message
    assert list((tmp_path / "home" / "tmp").iterdir()) == []


def test_a_truncated_initrd_is_refused(store: BoxStore, files: dict[ArtifactKind, str]) -> None:
    Path(files[R]).write_bytes(INITRD[:-15])

    with pytest.raises(BoxError, match="my-initrd is no initrd"):
        adopt(store, files)


def test_a_command_line_grown_too_long_is_noticed_though_the_kernel_is_known(
    store: BoxStore, files: dict[ArtifactKind, str]
) -> None:
    adopt(store, files)

    with pytest.raises(BoxError, match="that kernel takes 2047"):
        adopt(store, files, cmdline="x" * 3000)


@pytest.mark.parametrize("what", ["gone", "folder", "pipe"])
def test_a_path_that_is_no_file_is_named(store: BoxStore, tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)

    with pytest.raises(BoxError, match=rf"the kernel .*{what} (does not exist|is not a file)"):
        adopt(store, {K: str(path)})


def test_no_kernel_is_an_error(store: BoxStore, files: dict[ArtifactKind, str]) -> None:
    with pytest.raises(BoxError, match="needs a kernel"):
        adopt(store, {R: files[R]})


@pytest.mark.parametrize("content", [b"", b"[]", b'{"x": 5}', b"\xff", b"not json"])
def test_a_damaged_memory_of_what_was_seen_only_costs_a_second_look(
    store: BoxStore, files: dict[ArtifactKind, str], tmp_path: Path, content: bytes
) -> None:
    first = adopt(store, files)
    (tmp_path / "home" / "artifacts" / "adopted.json").write_bytes(content)

    assert adopt(store, files) == first


def test_an_artifact_a_machine_will_name_survives_another_boxs_removal(
    store: BoxStore, files: dict[ArtifactKind, str], tmp_path: Path
) -> None:
    box = adopt(store, files)
    for artifact in box.artifacts.values():
        os.utime(artifact.path, (0, 0))
    store.add(box_folder(tmp_path), op=quiet_op())
    adopt(store, files)

    store.remove(BoxRef(name="tiny"), store.list()[0].arch, in_use=(), op=quiet_op())

    assert all(artifact.path.exists() for artifact in box.artifacts.values())


@pytest.mark.parametrize("boot", [BootMode.UEFI, BootMode.FBSD])
def test_a_disk_that_boots_by_itself_is_not_looked_into(
    store: BoxStore, files: dict[ArtifactKind, str], boot: BootMode
) -> None:
    parts = BoxParts(sources={D: files[D]}, boot=boot, seed=SeedKind.NONE, user="me")

    box = store.adopt(parts, op=quiet_op())

    assert (box.boot, set(box.artifacts), box.root) == (boot, {D}, RootKind.DISK)
    assert (box.disk_boots, box.user) == (False, "me")
    with_kernel = BoxParts(sources=files, boot=boot, cmdline="quiet")
    assert store.adopt(with_kernel, op=quiet_op()).artifacts == box.artifacts


def test_without_a_disk_nothing_boots_by_itself(
    store: BoxStore, files: dict[ArtifactKind, str]
) -> None:
    with pytest.raises(BoxError, match="boots what is on a disk, and the box has none"):
        store.adopt(BoxParts(sources={K: files[K]}, boot=BootMode.UEFI), op=quiet_op())
