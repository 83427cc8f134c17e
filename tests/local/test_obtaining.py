"""From a published release to a box in the store, whatever was published and whoever is killed."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from backports import zstd

from tests.fakes import bootdisks as make
from tests.fakes import ownkernel, qcow2image
from tests.fakes.corpbox import Corp
from tests.fakes.http import HTML, FileServer, file_server
from tests.fakes.ownkernel import OLD, initrd_of, kernel_of
from tests.fakes.recorder import Recorder
from tests.fakes.tinybox import ARCH, kernel
from vagrantish.box import releases
from vagrantish.box.store import BoxStore
from vagrantish.errors import BoxError, DigestMismatch
from vagrantish.events import Cancel, Op
from vagrantish.model import ArtifactKind, Box
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_LACKING = make.missing(*ownkernel.TOOLS)
needs_tools = pytest.mark.skipif(bool(_LACKING), reason=f"not installed: {_LACKING}")
VX = Path(sys.executable).with_name("vx")
PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zst": lambda data: zstd.compress(data, 1),
    "bz2": bz2.compress,
}
DISK_BOX = """
name = "corp"
user = "me"
disk_boots = true
root = "disk"
seed = "cloud-init"
disk.url = "{url}"
{more}
[release.1.build.1]
{arch} = {{ {promise} }}
"""
KERNEL_BOX = f"""
name = "corp"
kernel.member = "vmlinuz"
file.url = "{{url}}/all.tar"
[release.1.build.1]
{ARCH} = {{{{ {{promises}} }}}}
"""


class Shop:
    """A server with one box, and a home that gets it."""

    def __init__(self, server: FileServer, home: VxHome) -> None:
        self.server = server
        self.home = home
        self.store = BoxStore(home)
        self.told = Recorder()

    def obtain(
        self, content: bytes, *, more: str = "", pinned: bool = True, served: bytes | None = None
    ) -> Box:
        self.server.files["/disk.img"] = content if served is None else served
        digest = hashlib.sha256(content).hexdigest()
        promise = f'digest = "sha256:{digest}", size = {len(content)}' if pinned else ""
        text = DISK_BOX.format(url=self.url, more=more, arch=ARCH, promise=promise)
        return self.obtain_text(text)

    def obtain_text(self, text: str) -> Box:
        published = releases.parse(text, source="corp")
        assert published is not None
        release = published.find(None, ARCH)
        assert release is not None
        return self.store.obtain(release, op=Op(self.told, Cancel()))

    @property
    def url(self) -> str:
        return f"{self.server.url}/disk.img"

    def is_empty(self) -> None:
        """Nothing half-made is left, and the store still answers."""
        assert self.store.list() == ()
        assert [path for path in self.home.artifacts.rglob("*") if path.is_file()] == []
        assert [path for path in self.home.tmp.rglob("*") if path.is_file()] == []


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with file_server() as server:
        yield Shop(server, VxHome(tmp_path / "home"))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    if _LACKING:
        pytest.skip(f"not installed: {_LACKING}")
    return ownkernel.disk(tmp_path_factory.mktemp("disk") / "disk.raw", OLD).read_bytes()


def bytes_of(box: Box, kind: ArtifactKind) -> bytes:
    return box.artifacts[kind].path.read_bytes()


def holds_the_image(box: Box, image: bytes) -> None:
    assert bytes_of(box, ArtifactKind.DISK) == image
    assert bytes_of(box, ArtifactKind.KERNEL) == kernel_of(OLD)
    assert bytes_of(box, ArtifactKind.INITRD) == initrd_of(OLD)
    assert (box.kernel_release, box.disk_cmdline) == (OLD, "root=/dev/vda ro quiet")


# --- what disks come in ---------------------------------------------------------------------------


@needs_tools
@pytest.mark.parametrize("packed", ["", *PACKERS])
def test_a_raw_disk_is_taken_however_it_is_packed(shop: Shop, image: bytes, packed: str) -> None:
    content = PACKERS[packed](image) if packed else image

    box = shop.obtain(content)

    holds_the_image(box, image)
    (source,) = box.sources
    assert source.fetched.sha256 == hashlib.sha256(content).hexdigest()
    assert box.artifacts[ArtifactKind.DISK].digest.hex == hashlib.sha256(image).hexdigest()
    if packed:  # with holes for its zeros
        assert box.artifacts[ArtifactKind.DISK].path.stat().st_blocks * 512 < len(image)
    assert shop.store.list() == (box,)


@needs_tools
def test_a_qcow2_disk_stays_one(shop: Shop, image: bytes, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(image)
    make.run("qemu-img", "convert", "-c", "-O", "qcow2", tmp_path / "raw", tmp_path / "qcow2")

    box = shop.obtain((tmp_path / "qcow2").read_bytes())

    holds_the_image(box, (tmp_path / "qcow2").read_bytes())


def tar_of(members: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return target.getvalue()


@needs_tools
@pytest.mark.parametrize("packed", ["", "gz", "zst"])
def test_a_disk_may_lie_in_a_tar_archive(shop: Shop, image: bytes, packed: str) -> None:
    tar = tar_of({"readme": b"hello", "./img/disk.raw": image})

    box = shop.obtain(PACKERS[packed](tar) if packed else tar, more='disk.member = "img/disk.raw"')

    holds_the_image(box, image)
    assert box.sources[0].member == "img/disk.raw"


def test_a_kernel_may_lie_in_an_archive_that_is_bigger_than_any_kernel(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vagrantish.box import checks

    monkeypatch.setitem(checks._SIZE_MAX, ArtifactKind.KERNEL, 1 << 20)
    shop.server.files["/all.tar"] = tar_of({"filler": os.urandom(2 << 20), "vmlinuz": kernel()})

    box = shop.obtain_text(KERNEL_BOX.format(url=shop.server.url, promises=""))

    assert bytes_of(box, ArtifactKind.KERNEL) == kernel()


def test_each_file_of_an_archive_is_held_to_its_own_digest(shop: Shop) -> None:
    archive = tar_of({"vmlinuz": kernel(), "initrd": gzip.compress(b"")})
    shop.server.files["/all.tar"] = archive
    right = f'kernel.digest = "sha256:{hashlib.sha256(archive).hexdigest()}"'
    wrong = f'initrd.member = "initrd", initrd.digest = "sha256:{"0" * 64}"'

    for promises in (wrong, f"{right}, {wrong}"):
        with pytest.raises(DigestMismatch):
            shop.obtain_text(KERNEL_BOX.format(url=shop.server.url, promises=promises))

    shop.is_empty()


# --- what is no disk ------------------------------------------------------------------------------


def refused(shop: Shop, content: bytes, *, more: str = "", pinned: bool = True) -> str:
    with pytest.raises(BoxError) as caught:
        shop.obtain(content, more=more, pinned=pinned)
    shop.is_empty()
    text = str(caught.value)
    host = shop.server.url.removeprefix("http://")
    assert any(name in text for name in (shop.url, f"disk.img from {host}", "corp@1.1")), text
    return text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HTML, "it is an HTML page"),
        (b"", "empty"),
        (b"x" * 700, "whole number of 512-byte sectors"),
        (bytes(1 << 20), "corp@1.1 cannot be looked into"),
        (b"KDMV" + bytes(508), "a vmdk disk image"),
        (qcow2image.build(qcow2image.Shape(clusters=("data",) * 9))[0][:700], "at byte 512"),
        (qcow2image.build(qcow2image.Shape(clusters=("data",), backing=True))[0], "backing"),
        (gzip.compress(bytes(1 << 16))[:-20], "cannot be unpacked"),
        (lzma.compress(bytes(1 << 16))[:-20], "cannot be unpacked"),
        (zstd.compress(os.urandom(1 << 12))[:-20], "cannot be unpacked"),
        (gzip.compress(HTML), "it is an HTML page"),
        (tar_of({"disk.raw": bytes(512)}), "corp@1.1 cannot be looked into"),
    ],
    ids=[
        "a page", "nothing", "a text", "zeros", "vmdk", "a cut qcow2", "a qcow2 over another",
        "a cut gz", "a cut xz", "a cut zst", "a packed page", "a tar nobody asked for",
    ],
)  # fmt: skip
@pytest.mark.parametrize("pinned", [True, False])
def test_what_is_no_disk_is_told_and_nothing_of_it_stays(
    shop: Shop, content: bytes, said: str, pinned: bool
) -> None:
    assert said in refused(shop, content, pinned=pinned and bool(content))


@needs_tools
def test_a_disk_without_a_kernel_is_told_where_it_was_looked_for(
    shop: Shop, tmp_path: Path
) -> None:
    tree = {path: data for path, data in ownkernel.tree(OLD).items() if "vmlinuz" not in path}

    said = refused(shop, make.ext4(tmp_path / "disk", tree).read_bytes())

    assert "the disk of corp@1.1 cannot be looked into: no kernel was found in it" in said


@needs_tools
def test_a_disk_for_other_processors_is_told(shop: Shop, tmp_path: Path) -> None:
    tree = ownkernel.tree(OLD) | {f"/boot/vmlinuz-{OLD}": kernel()}  # of 32 bits

    said = refused(shop, make.ext4(tmp_path / "disk", tree).read_bytes())

    assert said.startswith("the disk of corp@1.1 is for i686, not for x86_64")


@needs_tools
def test_an_initrd_that_is_none_is_told_by_its_name(shop: Shop, tmp_path: Path) -> None:
    tree = ownkernel.tree(OLD) | {f"/boot/initrd.img-{OLD}": b"no archive\n" * 99}

    said = refused(shop, make.ext4(tmp_path / "disk", tree).read_bytes())

    assert f"/boot/initrd.img-{OLD} of corp@1.1 is no initrd" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (tar_of({"other": b"x"}), "it holds no img/disk.raw"),
        (gzip.compress(tar_of({"img/disk.raw": bytes(1 << 16)}))[:-50], "damaged archive"),
        (HTML, "img/disk.raw in "),
        (bytes(4096), "img/disk.raw in "),
    ],
    ids=["not in it", "cut", "a page", "zeros"],
)
def test_a_member_that_cannot_be_had_is_told(shop: Shop, content: bytes, said: str) -> None:
    text = refused(shop, content, more='disk.member = "img/disk.raw"')

    assert said in text
    assert "img/disk.raw" in text


def test_a_disk_that_unpacks_without_end_is_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound of real disks is 16 TiB; here it is what a disk of zeros takes to get over."""
    from vagrantish.box import checks

    monkeypatch.setitem(checks._SIZE_MAX, ArtifactKind.DISK, 1 << 20)

    with pytest.raises(BoxError, match="the disk unpacks to more than 1MiB"):
        shop.obtain(gzip.compress(bytes(1 << 22)))

    shop.is_empty()


def test_other_bytes_than_promised_are_not_kept(shop: Shop) -> None:
    content = bytes(4096)

    with pytest.raises(DigestMismatch) as caught:
        shop.obtain(content, served=b"x" * 4096)

    assert shop.url in str(caught.value)
    shop.is_empty()


@needs_tools
def test_a_box_that_was_damaged_is_fetched_again(shop: Shop, image: bytes) -> None:
    box = shop.obtain(image)
    path = box.artifacts[ArtifactKind.DISK].path
    path.unlink()

    assert shop.obtain(image) == box

    holds_the_image(box, image)
    assert len(shop.server.asked("/disk.img")) == 2
    assert shop.obtain(image) == box
    assert len(shop.server.asked("/disk.img")) == 2


# --- kills and company ----------------------------------------------------------------------------


class Project:
    """``vx`` in a folder with a box of 4 MiB to fetch."""

    def __init__(self, server: FileServer, folder: Path) -> None:
        self.corp = Corp(server, folder / "catalog")
        self.corp.publish("1", more={"disk": os.urandom(4 << 20)})
        self.path = self.corp.path("1", "disk")
        self.home = VxHome(folder / "home")
        self.home.root.mkdir()
        self.home.config.write_text(f'catalogs = ["{self.corp.catalog}"]\n')
        self.folder = folder / "project"
        self.folder.mkdir()
        (self.folder / "Xhyvefile").write_text('box = "corp"\n')

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [VX, *words], cwd=self.folder, env=os.environ | {"VX_HOME": str(self.home.root)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def is_complete(self) -> None:
        (box,) = BoxStore(self.home).list()
        assert bytes_of(box, ArtifactKind.DISK) == self.corp.server.files[self.path]
        assert [path for path in self.home.tmp.rglob("*") if path.is_file()] == []
        assert list(self.home.downloads.rglob("*.part*")) == []


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with file_server() as server:
        yield Project(server, tmp_path)


def finish(process: subprocess.Popen[str]) -> str:
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return err


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("verb", ["fetch", "up"])
def test_a_killed_download_goes_on_where_it_was(project: Project, verb: str) -> None:
    server, path = project.corp.server, project.path
    server.rates[path] = 2e6
    process = project.start(verb)
    until(
        lambda: sum(f.stat().st_blocks * 512 for f in project.home.downloads.rglob("*")) > 1 << 20
    )
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert BoxStore(project.home).list() == ()
    server.rates.clear()
    before = len(server.asked(path))

    finish(project.start("fetch"))

    project.is_complete()
    starts = [int((wanted or "bytes=0-")[6:].partition("-")[0]) for wanted in server.asked(path)]
    assert min(starts[before:]) > 0


@pytest.mark.parametrize("step", ["box:add", "fetch"])
def test_whoever_is_killed_while_adding_leaves_nothing_in_the_way(
    project: Project, step: str
) -> None:
    process = project.start("fetch", "--events")
    assert process.stderr is not None
    for line in process.stderr:
        event = json.loads(line)
        if str(event.get("step", "")).startswith(step) or step in line:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()

    finish(project.start("fetch"))

    project.is_complete()


def test_what_was_fetched_is_kept_when_the_host_cannot_go_on(project: Project) -> None:
    project.home.artifacts.write_text("in the way of a folder")
    failed = project.start("fetch")
    _, err = failed.communicate(timeout=60)
    assert (failed.returncode, "cannot make the folder" in err) == (5, True), err
    project.home.artifacts.unlink()

    finish(project.start("fetch"))

    project.is_complete()
    assert len(project.corp.server.asked(project.path)) == 1
    assert list(project.home.downloads.iterdir()) == []


def test_two_at_once_fetch_once(project: Project) -> None:
    project.corp.server.rates[project.path] = 4e6
    first = project.start("fetch")
    until(lambda: bool(project.corp.server.asked(project.path)))
    second = project.start("fetch")

    errs = finish(first), finish(second)

    assert "Waiting for" in errs[1]
    assert len(project.corp.server.asked(project.path)) == 1
    assert len(project.corp.server.asked(project.corp.path("1"))) == 1
    project.is_complete()


def test_the_lock_of_two_at_once_has_what_both_found(project: Project) -> None:
    server = project.corp.server
    project.corp.publish("1", name="other")
    (project.folder / "Xhyvefile").write_text('box = "corp"\n')
    server.rates[project.path] = 8e6
    first = project.start("lock")
    until(lambda: bool(server.asked(project.path)))
    (project.folder / "Xhyvefile").write_text(
        '[machines.a]\nbox = "corp"\n[machines.b]\nbox = "other"\n'
    )
    second = project.start("fetch")

    finish(first)
    finish(second)

    text = (project.folder / "Xhyvefile.lock").read_text()
    assert 'name = "corp"' in text
    assert 'name = "other"' in text
