"""Machines are found wherever their project goes, and never by a stranger."""

from __future__ import annotations

import shutil
import uuid
from typing import TYPE_CHECKING

import pytest

from vagrantish.errors import HostError, MachineError
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
    store.create(record, {"id_ed25519": b"secret"}, project)
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
    store.claim(found, moved)
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
