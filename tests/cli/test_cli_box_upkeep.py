"""`vx box prune`, `verify`, `outdated` and `update`, against catalogs and a server on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_cli_box import machine_of
from tests.fakes.fileserver import folder_server
from tests.fakes.tinybox import ARCH, box_folder, kernel
from vagrantish.box import projects
from vagrantish.config import lockfile
from vagrantish.model import Digest, Lock, LockedBox, LockedFile
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.fakes.fileserver import FolderServer

LINES = {"1": "2027-05", "2": "2030"}  # release → eol


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FolderServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    with folder_server(folder) as serving:
        yield serving


def publish(cli: Cli, tmp_path: Path, server: FolderServer, *versions: str) -> None:
    """A catalog of the box corp, in which each version is a kernel of its own."""
    text = 'name = "corp"\nuser = "me"\nroot = "ram"\nseed = "none"\ndefault = "2"\n'
    text += f'kernel.url = "{server.url}/vmlinuz-{{version}}"\n'
    for line, eol in LINES.items():
        text += f'[release.{line}]\neol = "{eol}"\n'
        for version in (version for version in versions if version.startswith(f"{line}.")):
            content = kernel() + version.encode()
            (server.folder / f"vmlinuz-{version}").write_bytes(content)
            sum_ = hashlib.sha256(content).hexdigest()
            build = version.partition(".")[2]
            text += f'[release.{line}.build.{build}]\n{ARCH} = "sha256:{sum_}"\n'
    place = tmp_path / "catalog" / "corp"
    place.mkdir(parents=True, exist_ok=True)
    (place / "box.toml").write_text(text)
    cli.home.mkdir(exist_ok=True)
    (cli.home / "config.toml").write_text(f"catalogs = {json.dumps([str(place.parent)])}\n")


def obtain(cli: Cli, version: str) -> None:
    """As `vx up` does it."""
    from tests.fakes.recorder import quiet_op
    from vagrantish.lifecycle.boxes import get_box
    from vagrantish.lifecycle.services import Services
    from vagrantish.model import BoxRef

    services = Services(VxHome(cli.home), {"VX_HOME": str(cli.home)})
    get_box(services, BoxRef(name="corp", version=version), op=quiet_op())


def lock_of(*boxes: tuple[str, str, str]) -> str:
    """name, asked, version of each."""
    file = LockedFile(part="kernel", digest=Digest(algorithm="sha256", hex="0" * 64))
    return lockfile.encode(
        Lock(
            boxes=tuple(
                LockedBox(name=name, asked=asked, arch=ARCH, version=version, files=(file,))
                for name, asked, version in boxes
            )
        )
    )


def record_of(cli: Cli, label: str) -> Path:
    name, _, version = label.partition("@")
    return cli.home / "boxes" / name / version / ARCH / "box.json"


def artifact_of(cli: Cli, label: str) -> Path:
    digest: str = json.loads(record_of(cli, label).read_bytes())["artifacts"]["kernel"]["digest"]
    return cli.home / "artifacts" / "sha256" / digest.partition(":")[2]


def age(cli: Cli, label: str, *, hours: float) -> None:
    """As if the box had come and been used so long ago."""
    record = record_of(cli, label)
    fields = json.loads(record.read_bytes())
    fields["added_at"] = then = time.time() - hours * 3600
    record.chmod(0o644)
    record.write_text(json.dumps(fields))
    os.utime(record, (then, then))


@pytest.fixture
def stocked(cli: Cli, tmp_path: Path, server: FolderServer) -> Cli:
    """Three versions of corp, a day old, and a box of own files."""
    publish(cli, tmp_path, server, "1.1", "2.1", "2.2")
    for hours, version in ((72, "1.1"), (48, "2.1"), (24, "2.2")):
        obtain(cli, version)
        age(cli, f"corp@{version}", hours=hours)
    cli("box", "add", str(box_folder(tmp_path)))
    age(cli, "tiny@1", hours=100)
    return cli


def versions_in(cli: Cli) -> list[str]:
    boxes = cli("box", "list", "--json").answer["boxes"]
    return [f"{box['name']}@{box['version']}" for box in boxes]


# --- prune ---------------------------------------------------------------------------------


def test_prune_removes_what_nothing_needs_and_keeps_what_cannot_be_had_again(stocked: Cli) -> None:
    told = stocked("box", "prune", "--yes")

    assert (told.status, told.out) == (0, "")
    assert "corp@2.1" in told.err
    assert "Freed 12KiB" in told.err
    assert versions_in(stocked) == ["tiny@1"]
    assert len(list((stocked.home / "artifacts" / "sha256").iterdir())) == 1


def test_prune_takes_boxes_of_own_files_when_told_to(stocked: Cli) -> None:
    assert stocked("box", "prune", "--all", "--yes").status == 0

    assert versions_in(stocked) == []


def test_a_dry_run_says_what_becomes_of_each_and_changes_nothing(stocked: Cli) -> None:
    machine_of(stocked, "corp@2.1", {})

    told = stocked("box", "prune", "--dry-run")

    assert told.status == 0
    lines = told.out.splitlines()
    assert lines[0].split()[:4] == ["BOX", "ARCH", "USED", "SIZE"]
    assert lines[1].endswith("goes")
    assert lines[2].endswith(f"stays: machine web in {stocked.folder} was made from it")
    assert "cannot be fetched again" in lines[4]
    assert lines[-1] == "Would free 8KiB."
    assert len(versions_in(stocked)) == 4


def test_prune_asks_first(stocked: Cli) -> None:
    told = stocked("box", "prune")

    assert told.status == 2
    assert "--yes" in told.err
    assert len(versions_in(stocked)) == 4


def test_prune_keeps_what_the_lock_of_a_known_project_has(stocked: Cli, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "Xhyvefile.lock").write_text(lock_of(("corp", "1", "1.1")))
    projects.note(VxHome(stocked.home), elsewhere)
    stocked.xhyvefile('box = "corp@2.1"\n')
    (stocked.folder / "Xhyvefile.lock").write_text(lock_of(("corp", "2.1", "2.1")))

    answer = stocked("box", "prune", "--yes", "--json").answer

    stays = {box["version"]: box["stays"] for box in answer["boxes"] if box["name"] == "corp"}
    assert stays == {
        "1.1": f"{elsewhere / 'Xhyvefile.lock'} has it",
        "2.1": f"{stocked.folder / 'Xhyvefile.lock'} has it",
        "2.2": None,
    }
    assert versions_in(stocked) == ["corp@1.1", "corp@2.1", "tiny@1"]


@pytest.mark.parametrize("what", ["lock", "machine", "record"])
def test_prune_removes_no_box_while_something_cannot_be_read(stocked: Cli, what: str) -> None:
    if what == "lock":
        stocked.xhyvefile('box = "corp"\n')
        (stocked.folder / "Xhyvefile.lock").write_text("<<<<<<< HEAD\n")
    elif what == "machine":
        machine_of(stocked, "corp@2.1", {})
        (stocked.home / "machines" / "0123abcd" / "machine.json").write_text("{")
    else:
        record = record_of(stocked, "tiny@1")
        record.chmod(0o644)
        record.write_text("{")

    told = stocked("box", "prune", "--yes")

    assert told.status == 0
    assert "No box is removed" in told.err
    assert len(list((stocked.home / "artifacts" / "sha256").iterdir())) == 4
    assert record_of(stocked, "corp@1.1").exists()


def test_prune_goes_by_age_and_size(stocked: Cli) -> None:
    aged = stocked("box", "prune", "--older-than", "60h", "--dry-run", "--json").answer
    assert [box["version"] for box in aged["boxes"] if box["removed"]] == ["1.1"]
    days = stocked("box", "prune", "--older-than", "2d", "--dry-run", "--json").answer
    assert [box["version"] for box in days["boxes"] if box["removed"]] == ["1.1", "2.1"]

    sized = stocked("box", "prune", "--max-size", "12KiB", "--yes", "--json").answer

    assert [box["version"] for box in sized["boxes"] if box["removed"]] == ["1.1"]
    assert (sized["freed"], sized["size"]) == (4096, 12288)
    assert versions_in(stocked) == ["corp@2.1", "corp@2.2", "tiny@1"]


@pytest.mark.parametrize("words", [("--older-than", "3"), ("--max-size", "much")])
def test_prune_says_how_budgets_are_written(cli: Cli, words: tuple[str, str]) -> None:
    told = cli("box", "prune", *words, "--yes")

    assert told.status == 2
    assert "--older-than 30d" in told.err


def test_a_box_that_just_came_is_left_unless_an_age_is_given(stocked: Cli) -> None:
    age(stocked, "corp@2.2", hours=0)

    stocked("box", "prune", "--yes")
    assert versions_in(stocked) == ["corp@2.2", "tiny@1"]

    stocked("box", "prune", "--older-than", "0s", "--yes")
    assert versions_in(stocked) == ["tiny@1"]


def test_prune_takes_old_downloads_copies_and_orphans(cli: Cli) -> None:
    day_ago = time.time() - 2 * 86400
    for place in (
        "downloads/sha256-ab/data.part", f"artifacts/raw/{'a' * 64}", f"artifacts/sha256/{'b' * 64}"
    ):  # fmt: skip
        path = cli.home / place
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
        os.utime(path, (day_ago, day_ago))
        os.utime(path.parent, (day_ago, day_ago))

    told = cli("box", "prune")

    assert told.status == 0
    assert "1 raw copy and 1 download among it" in told.err
    assert not [path for path in (cli.home / "artifacts").rglob("*") if path.is_file()]
    assert list((cli.home / "downloads").iterdir()) == []
    assert "Nothing to remove" in cli("box", "prune").err


# --- verify --------------------------------------------------------------------------------


def test_verify_of_a_whole_store_says_so(stocked: Cli) -> None:
    told = stocked("box", "verify")

    assert (told.status, told.out) == (0, "")
    assert "4 files are as they came" in told.err


def test_verify_names_a_flipped_byte_and_repair_brings_it_back(stocked: Cli) -> None:
    path = artifact_of(stocked, "corp@2.1")
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)
    path.chmod(0o444)

    told = stocked("box", "verify")

    assert told.status == 4
    assert told.out.splitlines() == [
        f"the kernel of corp@2.1 ({ARCH}) is damaged: {path}",
        f"  expected sha256:{path.name}",
        f"  found    sha256:{hashlib.sha256(data).hexdigest()}",
        "  Put it back with `vx box add corp@2.1 --force`.",
    ]
    answer = stocked("box", "verify", "corp", "--json").answer
    assert [each["fault"] for each in answer["findings"]] == ["changed"]
    assert stocked("box", "verify", "tiny").status == 0

    assert stocked("box", "verify", "--repair").status == 0
    assert path.read_bytes() == kernel() + b"2.1"


def test_verify_tells_a_lost_file_a_bad_mode_and_a_damaged_record(stocked: Cli) -> None:
    artifact_of(stocked, "corp@1.1").unlink()
    artifact_of(stocked, "corp@2.1").chmod(0o644)
    record = record_of(stocked, "corp@2.2")
    record.chmod(0o644)
    record.write_text("{}")

    answer = stocked("box", "verify", "--json").answer

    assert {(each["fault"], each["used_by"][0]["name"]) for each in answer["findings"]} == {
        ("missing", f"corp@1.1 ({ARCH})"),
        ("writable", f"corp@2.1 ({ARCH})"),
        ("record", f"corp@2.2 ({ARCH})"),
    }
    assert stocked("box", "verify", "--repair").status == 4
    answer = stocked("box", "verify", "--json").answer
    assert [each["fault"] for each in answer["findings"]] == ["record"]


def test_verify_knows_what_only_a_machine_needs(cli: Cli) -> None:
    machine_of(cli, "own files", {"disk": f"sha256:{'c' * 64}"})

    told = cli("box", "verify")

    assert told.status == 4
    assert f"the disk of machine web in {cli.folder} is gone" in told.out


def test_verify_of_a_box_that_is_not_there_says_so(cli: Cli) -> None:
    assert cli("box", "verify", "nothing").status == 4


# --- outdated and update -------------------------------------------------------------------


def test_outdated_compares_within_a_line_and_update_moves_on(
    stocked: Cli, tmp_path: Path, server: FolderServer
) -> None:
    assert stocked("box", "outdated").status == 0
    publish(stocked, tmp_path, server, "1.1", "2.1", "2.2", "2.10")

    told = stocked("box", "outdated")

    assert told.status == 10
    assert [line.split() for line in told.out.splitlines()] == [
        ["NAME", "ARCH", "HERE", "NEWEST", "WHERE", "ENDS"],
        ["corp@1", ARCH, "1.1", "1.1", "store", "2027-05"],
        ["corp@2", ARCH, "2.2", "2.10", "store", "2030"],
        ["tiny", ARCH, "1", "-", "store", "-"],
    ]
    assert "vx box update" in told.err
    assert stocked("box", "outdated", "corp@1").status == 0

    updated = stocked("box", "update")
    assert updated.out == f"corp@2 ({ARCH}): 2.2 → 2.10\n"
    assert "vx lock --update" in updated.err
    assert "corp@2.10" in versions_in(stocked)
    assert stocked("box", "outdated").status == 0
    assert stocked("box", "update", "corp", "--json").answer["boxes"] == []


def test_outdated_looks_at_the_projects_lock(stocked: Cli) -> None:
    stocked.xhyvefile('box = "corp"\n')
    locks = (("corp", "", "2.1"), ("corp", "1", "1.1"), ("corp", "2.1", "2.1"))
    (stocked.folder / "Xhyvefile.lock").write_text(lock_of(*locks))

    told = stocked("box", "outdated", "corp", "--json")

    locked = [box for box in told.answer["boxes"] if box["where"] == "Xhyvefile.lock"]
    assert [(box["line"], box["here"], box["newest"], box["outdated"]) for box in locked] == [
        ("2", "2.1", "2.2", True),
        ("1", "1.1", "1.1", False),
        ("2.1", "2.1", "2.1", False),
    ]
    assert told.status == 10


def test_outdated_and_update_of_an_empty_store_and_of_unknown_boxes(cli: Cli) -> None:
    assert cli("box", "outdated", "--json").answer["boxes"] == []
    assert cli("box", "outdated").status == 0
    assert cli("box", "update").status == 0
    assert cli("box", "outdated", "nothing").status == 4
    assert "vx box build micro" in cli("box", "update", "micro").err
