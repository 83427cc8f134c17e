"""`vx box`, but for what a build needs of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.recorder import quiet_op
from tests.fakes.tinybox import ARCH, box_folder
from vagrantish.machine.record import Record
from vagrantish.machine.store import MachineStore
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli


def machine_of(cli: Cli, label: str, digests: dict[str, str]) -> None:
    record = Record(
        id="0123abcd", uuid="u", name="web", project=str(cli.folder), provider="qemu", mac="m",
        created_at="2026-01-01T00:00:00Z", user="vx",
        box={"label": label, "arch": ARCH, "artifacts": digests},
    )  # fmt: skip
    MachineStore(VxHome(cli.home)).create(record, {}, cli.folder, op=quiet_op())


def test_an_empty_store_says_how_to_fill_it(cli: Cli) -> None:
    told = cli("box", "list")

    assert (told.status, told.out) == (0, "")
    assert "vx box build micro" in told.err
    assert cli("box", "list", "--json").answer == {"schema": "vx.box-list/1", "boxes": []}


def test_an_added_box_is_listed_explained_and_removed(cli: Cli, tmp_path: Path) -> None:
    added = cli("box", "add", str(box_folder(tmp_path)))
    assert (added.status, added.out) == (0, "")
    assert 'box = "tiny"' in added.err

    listed = cli("box", "list")
    assert listed.out.splitlines() == [
        "NAME  VERSION  ARCH    SIZE    DESCRIPTION",
        f"tiny  1        {ARCH}  1.5KiB  A box for tests",
    ]

    info = cli("box", "info", "tiny")
    assert info.out.startswith("name          tiny\nversion       1\n")
    assert "used by       no machine" in info.out

    removed = cli("box", "remove", "tiny", "--yes")
    assert (removed.status, removed.err) == (0, "tiny is removed.\n")
    assert cli("box", "list").out == ""


def test_json_says_all_about_a_box(cli: Cli, tmp_path: Path) -> None:
    added = cli("box", "add", str(box_folder(tmp_path)), "--json").answer
    info = cli("box", "info", "tiny@1", "--json").answer
    listed = cli("box", "list", "--json").answer

    assert added.pop("schema") == "vx.box-add/1"
    assert info.pop("schema") == "vx.box-info/1"
    assert info.pop("used_by") == []
    assert added == info == listed["boxes"][0]
    assert (info["name"], info["version"], info["user"]) == ("tiny", "1", "vx")
    assert info["artifacts"]["kernel"]["size"] == info["size"]


def test_a_box_is_added_under_another_name(cli: Cli, tmp_path: Path) -> None:
    folder = box_folder(tmp_path)

    told = cli("box", "add", str(folder), "--name", "other", "--version", "7", "--json")

    assert (told.answer["name"], told.answer["version"]) == ("other", "7")


def test_a_box_path_is_relative_to_the_directory_given(cli: Cli, tmp_path: Path) -> None:
    box_folder(tmp_path)

    assert cli("-C", str(tmp_path), "box", "add", "tiny-1").status == 0


def test_a_box_in_use_stays_unless_forced(cli: Cli, tmp_path: Path) -> None:
    box = cli("box", "add", str(box_folder(tmp_path)), "--json").answer
    kernel_of_box = box["artifacts"]["kernel"]
    machine_of(cli, "tiny@1", {"kernel": kernel_of_box["digest"]})

    refused = cli("box", "remove", "tiny", "--yes", "--json")
    assert refused.status == 4
    assert refused.error["code"] == "box-in-use"
    assert f"web in {cli.folder}" in refused.error["message"]
    assert "used by       web in" in cli("box", "info", "tiny").out

    assert cli("box", "remove", "tiny", "--yes", "--force").status == 0
    assert cli("box", "list", "--json").answer["boxes"] == []
    assert (cli.home / kernel_of_box["path"]).exists()


def test_a_machine_of_another_version_is_in_nobodys_way(cli: Cli, tmp_path: Path) -> None:
    for version in ("1", "2"):
        cli("box", "add", str(box_folder(tmp_path, version=version)))
    machine_of(cli, "tiny@1", {})

    assert cli("box", "remove", "tiny@2", "--yes").status == 0
    assert cli("box", "remove", "tiny@1", "--yes").status == 4


def test_removing_asks_first(cli: Cli, tmp_path: Path) -> None:
    cli("box", "add", str(box_folder(tmp_path)))

    told = cli("box", "remove", "tiny", "--no-input", "--json")

    assert told.status == 2
    assert "--yes" in told.error["hint"]
    assert len(cli("box", "list", "--json").answer["boxes"]) == 1


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("box", "info", "nothing"), 4, "box-not-found"),
        (("box", "remove", "nothing", "--yes"), 4, "box-not-found"),
        (("box", "info", "Bad Name"), 2, "usage"),
        (("box", "info", "a@"), 2, "usage"),
        (("box", "add", "nowhere"), 4, "box-not-found"),
        (("box", "add", "./nowhere"), 4, "box"),
        (("box", "build", "ubuntu"), 2, "usage"),
    ],
)
def test_wrong_boxes_are_told(cli: Cli, words: tuple[str, ...], status: int, code: str) -> None:
    told = cli(*words, "--json")

    assert (told.status, told.error["code"]) == (status, code)
    assert told.error["hint"]
