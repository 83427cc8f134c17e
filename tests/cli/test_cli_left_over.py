"""Machines that the Xhyvefile no longer has, or whose project is gone, can still be removed."""

from __future__ import annotations

import shutil
import uuid
from typing import TYPE_CHECKING

from tests.fakes.recorder import quiet_op
from vagrantish.machine.record import Record
from vagrantish.machine.store import MachineStore
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli


def store_of(cli: Cli) -> MachineStore:
    return MachineStore(VxHome(cli.home))


def make(cli: Cli, name: str, folder: Path | None = None) -> Record:
    unique = uuid.uuid4()
    project = folder or cli.folder
    record = Record(
        id=unique.hex[:8], uuid=str(unique), name=name, project=str(project), provider="qemu",
        mac="52:54:00:00:00:01", created_at="2026-01-01T00:00:00+00:00", user="vx",
        box={"label": "micro@1"},
    )  # fmt: skip
    store_of(cli).create(record, {}, project, op=quiet_op())
    return record


def names(cli: Cli) -> list[str]:
    return [record.name for record in store_of(cli).all()]


def test_status_shows_what_the_xhyvefile_lost_and_how_to_remove_it(cli: Cli) -> None:
    cli.xhyvefile("[machines.web]\ncount = 3\n")
    for index in (1, 2, 3):
        make(cli, f"web-{index}")
    cli.xhyvefile("[machines.web-1]\n")

    told = cli("status")
    answer = cli("status", "--json").answer

    assert "web-3" in told.out
    assert "vx destroy web-2 web-3" in told.err
    assert [(m["name"], m["state"], m["in_xhyvefile"]) for m in answer["machines"]] == [
        ("web-1", "halted", True),
        ("web-2", "halted", False),
        ("web-3", "halted", False),
    ]


def test_a_lost_machine_is_destroyed_by_name_or_pattern_and_only_then(cli: Cli) -> None:
    cli.xhyvefile("[machines.web-1]\n")
    for name in ("web-1", "web-2", "old"):
        make(cli, name)

    assert cli("halt", "old").status == 0
    assert cli("destroy", "--yes").status == 0
    assert names(cli) == ["old", "web-2"]
    assert cli("destroy", "--yes", "web-*", "old").status == 0
    assert names(cli) == []
    assert cli("destroy", "--yes", "old").status == 6


def test_a_machine_without_a_project_is_destroyed_by_its_id(cli: Cli, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    lost = make(cli, "web", elsewhere)
    shutil.rmtree(elsewhere)
    mine = make(cli, "web")

    told = cli("destroy", "--yes", lost.id)  # with no Xhyvefile here either

    assert told.status == 0
    assert [record.id for record in store_of(cli).all()] == [mine.id]


def test_an_id_means_that_machine_even_where_the_project_has_another_by_now(cli: Cli) -> None:
    cli.xhyvefile("[machines.web]\n")
    old = make(cli, "web")
    shutil.rmtree(cli.folder / ".vx")
    new = make(cli, "web")

    assert cli("destroy", "--yes", old.id).status == 0

    assert [record.id for record in store_of(cli).all()] == [new.id]


def test_one_machine_that_cannot_be_destroyed_does_not_keep_the_others(cli: Cli) -> None:
    cli.xhyvefile("[machines.a]\n[machines.b]\n[machines.c]\n")
    broken = make(cli, "a")
    make(cli, "b")
    (cli.home / "machines" / broken.id / "vm.pid").mkdir()  # no file, so it cannot be swept

    told = cli("destroy", "--yes", "--json")

    assert told.status == 5
    assert told.error["exit_status"] == 5
    assert names(cli) == ["a"]


def test_destroying_again_sweeps_what_a_killed_destroy_left(cli: Cli) -> None:
    cli.xhyvefile("")
    left = cli.home / "tmp" / "1-abc"
    left.mkdir(parents=True)
    (left / "disk.img").write_bytes(b"big")
    left.with_suffix(".lock").touch()

    assert cli("destroy", "--yes").status == 0

    assert list((cli.home / "tmp").iterdir()) == []


def test_a_plan_and_an_up_count_in_what_a_machine_needs(cli: Cli) -> None:
    cli.xhyvefile(
        'box = "micro"\n[machines.db]\nautostart = false\n[machines.web]\nneeds = ["db"]\n[machines.lone]\n'
    )

    told = cli("up", "--plan", "--json", "web")

    assert told.status == 10
    assert {action["machine"] for action in told.answer["actions"]} == {"db", "web"}
