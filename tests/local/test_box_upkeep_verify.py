"""Reading the store again: what is said of it, and when it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.recorder import Recorder, quiet_op
from tests.fakes.tinybox import ARCH, box_folder
from vagrantish.box.store import BoxStore
from vagrantish.box.upkeep_verify import Fault, verify
from vagrantish.errors import BoxNotFound
from vagrantish.events import Cancel, Cancelled, Op, Progress
from vagrantish.model import Box, BoxRef
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.events import Event

TINY = BoxRef(name="tiny", version="1")


@pytest.fixture
def home(tmp_path: Path) -> VxHome:
    return VxHome(tmp_path / "home")


def add(home: VxHome, tmp_path: Path, version: str, *, disk: bytes = b"") -> Box:
    folder = box_folder(tmp_path, version=version)
    if disk:
        (folder / "root.img").write_bytes(disk)
        with (folder / "box.toml").open("a") as file:
            file.write('disk = "root.img"\nroot = "disk"\n')
    return BoxStore(home).add(folder, op=quiet_op())


def kernel_of(box: Box) -> Path:
    return box.files["kernel"].path


def test_a_file_two_boxes_share_is_read_once_and_named_for_both(
    home: VxHome, tmp_path: Path
) -> None:
    box = add(home, tmp_path, "1")
    BoxStore(home).add(tmp_path / "tiny-1", name="twin", op=quiet_op())
    kernel_of(box).chmod(0o644)
    kernel_of(box).write_bytes(b"x")
    kernel_of(box).chmod(0o444)

    report = verify(home, (), {}, op=quiet_op())

    assert report.files == 1
    (finding,) = report.findings
    assert finding.fault is Fault.CHANGED
    assert {user for user, _ in finding.users} == {f"tiny@1 ({ARCH})", f"twin@1 ({ARCH})"}
    assert finding.expected != finding.found


def test_only_the_boxes_asked_for_are_read(home: VxHome, tmp_path: Path) -> None:
    add(home, tmp_path, "1")
    kernel_of(add(home, tmp_path, "2")).unlink()

    assert verify(home, (TINY,), {}, op=quiet_op()).findings == ()
    assert len(verify(home, (BoxRef(name="tiny"),), {}, op=quiet_op()).findings) == 1
    with pytest.raises(BoxNotFound, match="of tiny it has 1, 2"):
        verify(home, (BoxRef(name="tiny", version="3"),), {}, op=quiet_op())


def test_a_file_nothing_needs_is_looked_at_too(home: VxHome, tmp_path: Path) -> None:
    add(home, tmp_path, "1")
    orphan = home.artifacts / "sha256" / ("a" * 64)
    orphan.write_bytes(b"other bytes")

    (finding,) = verify(home, (), {}, op=quiet_op()).findings

    assert (finding.path, finding.fault, finding.users) == (orphan, Fault.CHANGED, ())


def test_what_is_no_file_is_told(home: VxHome, tmp_path: Path) -> None:
    path = kernel_of(add(home, tmp_path, "1"))
    path.rename(tmp_path / "kernel")
    path.symlink_to(tmp_path / "kernel")

    (finding,) = verify(home, (), {}, op=quiet_op()).findings

    assert finding.fault is Fault.UNREADABLE


def test_progress_counts_every_byte(home: VxHome, tmp_path: Path) -> None:
    box = add(home, tmp_path, "1", disk=bytes(3 << 20))
    told = Recorder()

    report = verify(home, (), {}, op=Op(told, Cancel()))

    size = sum(file.size_bytes for file in box.files.values())
    last = [event for event in told.events if isinstance(event, Progress)][-1]
    assert report.size_bytes == size == last.done == last.total


class AtFirstProgress(Recorder):
    def __init__(self, then: object) -> None:
        super().__init__()
        self._then = then

    def emit(self, event: Event, /) -> None:
        if isinstance(event, Progress) and callable(self._then):
            then, self._then = self._then, None
            then()


def test_it_can_be_stopped(home: VxHome, tmp_path: Path) -> None:
    add(home, tmp_path, "1", disk=bytes(8 << 20))
    cancel = Cancel()

    with pytest.raises(Cancelled):
        verify(home, (), {}, op=Op(AtFirstProgress(cancel.set), cancel))


def test_a_box_that_is_removed_meanwhile_is_not_missed(home: VxHome, tmp_path: Path) -> None:
    add(home, tmp_path, "1", disk=bytes(3 << 20))
    store = BoxStore(home)

    def remove() -> None:
        store.remove(BoxRef(name="tiny"), ARCH, in_use=(), op=quiet_op())

    report = verify(home, (), {}, op=Op(AtFirstProgress(remove), Cancel()))

    assert store.list() == ()
    assert report.findings == ()
