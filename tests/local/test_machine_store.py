"""Machines are found wherever their project goes, and never by a stranger."""

from __future__ import annotations

import shutil
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.fakes.recorder import Recorder, quiet_op
from vagrantish.errors import HostError, MachineError
from vagrantish.events import Cancelled
from vagrantish.machine.record import Record, read
from vagrantish.machine.store import MachineStore
from vagrantish.paths import VxHome, project_state

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> MachineStore:
    return MachineStore(VxHome(tmp_path / "home"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def make(store: MachineStore, project: Path, name: str = "default") -> Record:
    unique = uuid.uuid4()
    record = Record(
        id=unique.hex[:8],
        uuid=str(unique),
        name=name,
        project=str(project),
        provider="qemu",
        mac="52:54:00:00:00:01",
        created_at="2026-01-01T00:00:00+00:00",
        user="vx",
        box={"label": "micro@1", "artifacts": {"kernel": "sha256:aa"}, "volatile": True},
    )
    store.create(record, {"id_ed25519": b"secret"}, project, op=quiet_op())
    return record


def test_a_created_machine_is_found_with_all_it_was_made_with(
    store: MachineStore, project: Path
) -> None:
    made = make(store, project)

    found = store.find(project, "default")

    assert found is not None
    assert found.to_json() == made.to_json()
    key = store.layout(found).user_key
    assert key.read_bytes() == b"secret"
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_moved_project_still_finds_its_machine(store: MachineStore, project: Path) -> None:
    made = make(store, project)
    moved = project.rename(project.with_name("moved"))

    found = store.find(moved, "default")

    assert found is not None
    assert found.id == made.id
    store.claim(found, moved, op=quiet_op())
    record = read(store.layout(made).record)
    assert record is not None
    assert record.project == str(moved)


def test_a_copied_project_leaves_the_machine_to_the_original(
    store: MachineStore, project: Path
) -> None:
    made = make(store, project)
    copy = project.with_name("copy")
    shutil.copytree(project, copy)

    assert store.find(copy, "default") is None
    original = store.find(project, "default")
    assert original is not None
    assert original.id == made.id


def test_a_project_that_lost_its_state_folder_still_finds_its_machine(
    store: MachineStore, project: Path
) -> None:
    made = make(store, project)
    shutil.rmtree(project_state(project))

    found = store.find(project, "default")

    assert found is not None
    assert found.id == made.id


def test_two_machines_of_a_project_are_told_apart(store: MachineStore, project: Path) -> None:
    web, db = make(store, project, "web"), make(store, project, "db")

    assert [r.id for r in (store.find(project, "web"), store.find(project, "db")) if r] == [
        web.id,
        db.id,
    ]
    assert store.artifacts_in_use() == {"sha256:aa"}


@pytest.mark.parametrize("text", ["../../etc", "0123456g", "0123456789", "", "\0" * 8])
def test_a_foreign_id_file_leads_nowhere(store: MachineStore, project: Path, text: str) -> None:
    project_state(project).mkdir()
    (project_state(project) / "default").write_text(text)

    assert store.find(project, "default") is None


def test_a_deleted_machine_is_gone_and_deleting_leaves_no_staging(
    store: MachineStore, project: Path
) -> None:
    record = make(store, project)

    store.delete(record, project)

    assert store.find(project, "default") is None
    assert store.all() == ()
    assert not (project_state(project) / "default").exists()
    assert list(store.home.tmp.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": 1}', '{"schema": 99}', "null", '{"schema": 1, "id": 3}']
)
def test_a_damaged_record_is_named_with_a_way_out(
    store: MachineStore, project: Path, text: str
) -> None:
    record = make(store, project)
    store.layout(record).record.write_text(text)

    with pytest.raises(MachineError, match=record.id) as caught:
        store.find(project, "default")

    assert caught.value.hint
    assert store.all() == ()


def test_an_unwritable_home_is_a_host_error(project: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")

    with pytest.raises(HostError, match="cannot make the folder"):
        make(MachineStore(VxHome(blocked / "home")), project)


def test_a_project_that_cannot_be_written_is_warned_of_and_found_by_its_path(
    store: MachineStore, project: Path
) -> None:
    project_state(project).write_text("in the way")
    op = quiet_op()
    record = make(store, project)

    store.claim(record, project, op=op)

    assert isinstance(op.reporter, Recorder)
    assert "cannot make the folder" in " ".join(op.reporter.notes())
    found = store.find(project, "default")
    assert found is not None
    assert found.id == record.id
    store.delete(found, project)
    assert store.find(project, "default") is None


def test_an_id_file_that_leads_nowhere_does_not_hide_the_machine(
    store: MachineStore, project: Path
) -> None:
    record = make(store, project)
    (project_state(project) / "default").write_text("00000000\n")

    found = store.find(project, "default")

    assert found is not None
    assert found.id == record.id


def test_a_machine_has_one_lock_by_whatever_link_its_project_is_reached(
    store: MachineStore, project: Path
) -> None:
    link = project.with_name("link")
    link.symlink_to(project)

    with store.lock(project, "default", op=quiet_op()):
        waiting = quiet_op()
        waiting.cancel.set()
        with pytest.raises(Cancelled), store.lock(link, "default", op=waiting):
            pass
    with store.lock(link, "default", op=waiting):
        pass


def test_machines_the_xhyvefile_lost_are_found_also_after_a_move(
    store: MachineStore, project: Path
) -> None:
    for name in ("web-1", "web-2", "old"):
        make(store, project, name)
    moved = project.rename(project.with_name("moved"))

    assert [r.name for r in store.left_over(moved, {"web-1"})] == ["old", "web-2"]
    assert store.left_over(moved, {"web-1", "web-2", "old"}) == ()


def test_what_a_killed_write_left_beside_an_id_is_swept(store: MachineStore, project: Path) -> None:
    project_state(project).mkdir()
    stray = project_state(project) / ".default.0123abcd.tmp"
    other = project_state(project) / ".default-2.0123abcd.tmp"
    stray.touch()
    other.touch()

    make(store, project)

    assert not stray.exists()
    assert other.exists()
