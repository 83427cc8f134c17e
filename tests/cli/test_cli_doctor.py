"""``vx doctor``, on this very host and with homes that were broken on purpose."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from vagrantish.machine.record import Record

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli

ID = "0f3c0a52"


def found(cli: Cli, *words: str) -> dict[str, dict[str, Any]]:
    """Check → its (last) finding."""
    told = cli("doctor", "--json", *words)
    answer = told.answer
    assert answer["schema"] == "vx.doctor/1"
    has_errors = any(f["level"] == "error" for f in answer["findings"])
    assert told.status == (1 if has_errors else 0)
    return {finding["id"]: finding for finding in answer["findings"]}


@pytest.fixture
def machine(cli: Cli) -> Path:
    """The folder of a halted machine."""
    folder = cli.home / "machines" / ID
    folder.mkdir(parents=True)
    cli.home.chmod(0o700)
    record = Record(
        id=ID, uuid=f"{ID}-9d5f-4c51-a8a0-3d4a0ea20a11", name="web", project=str(cli.folder),
        provider="qemu", mac="52:54:00:0a:0b:0c", created_at="2026-01-01", user="vagrant", box={},
    )  # fmt: skip
    (folder / "machine.json").write_bytes(record.to_json())
    for key in ("id_ed25519", "host_ed25519"):
        (folder / key).write_text("secret")
        (folder / key).chmod(0o600)
    return folder


def test_outside_of_a_project_the_host_and_the_home_are_looked_at(cli: Cli) -> None:
    told = cli("doctor")

    assert "host.system" in told.out
    assert "store.boxes" in told.out
    assert "project." not in told.out


def test_a_wrong_xhyvefile_is_a_finding_with_its_line(cli: Cli) -> None:
    cli.xhyvefile('box = "micro"\ncpu = 2\n')

    finding = found(cli)["project.xhyvefile"]

    assert finding["level"] == "error"
    assert "Xhyvefile:2" in finding["text"]


def test_a_box_that_is_not_here_is_worth_a_note(cli: Cli) -> None:
    cli.xhyvefile('box = "micro"\n')

    finding = found(cli, "project")["project.box"]

    assert (finding["level"], "vx up" in finding["hint"]) == ("note", True)


def test_a_provider_that_is_wanted_and_missing_is_an_error_with_the_way_to_it(cli: Cli) -> None:
    cli.xhyvefile('box = "micro"\nprovider = "xhyve"\n[xhyve]\nbinary = "/nowhere/xhyve"\n')

    finding = found(cli, "xhyve")["xhyve.program"]

    assert finding["level"] == "error"
    assert "/nowhere/xhyve" in finding["text"]
    assert "default" in finding["text"]
    assert finding["hint"]


def test_a_halted_machine_is_fine(cli: Cli, machine: Path) -> None:
    assert found(cli, "machine")["machine.state"]["level"] == "ok"
    assert machine.is_dir()


def test_a_damaged_record_is_an_error(cli: Cli, machine: Path) -> None:
    (machine / "machine.json").write_text("{")

    finding = found(cli, "machine")["machine.record"]

    assert (finding["level"], finding["subject"]) == ("error", ID)
    assert str(machine) in finding["hint"]


def test_what_a_killed_hypervisor_left_is_cleared_by_fix(cli: Cli, machine: Path) -> None:
    (machine / "vm.pid").write_text("999999")
    assert found(cli, "machine")["machine.leftovers"]["fixable"]

    told = cli("doctor", "--fix", "--json", "machine")

    assert [f["id"] for f in told.answer["fixed"]] == ["machine.leftovers"]
    assert not (machine / "vm.pid").exists()
    assert found(cli, "machine")["machine.state"]["level"] == "ok"


def test_keys_that_others_may_read_are_closed_by_fix(cli: Cli, machine: Path) -> None:
    (machine / "id_ed25519").chmod(0o644)
    assert found(cli, "machine")["machine.keys"]["level"] == "warning"

    cli("doctor", "--fix", "machine")

    assert (machine / "id_ed25519").stat().st_mode & 0o777 == 0o600


def test_a_home_that_is_open_to_others_is_closed_by_fix(cli: Cli) -> None:
    cli.home.mkdir(mode=0o755)
    cli.home.chmod(0o755)
    assert found(cli, "host")["host.home"]["level"] == "warning"

    cli("doctor", "--fix", "host.home")

    assert cli.home.stat().st_mode & 0o777 == 0o700


def test_a_machine_whose_project_is_gone_is_told(cli: Cli, machine: Path) -> None:
    path = machine / "machine.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"project": "/nowhere/project"}))

    assert found(cli, "machine")["machine.project"]["level"] == "warning"


def test_what_a_killed_command_left_in_staging_is_swept_by_fix(cli: Cli) -> None:
    left = cli.home / "tmp" / "half"
    left.mkdir(parents=True)
    (left / "file").write_text("half")
    left.with_suffix(".lock").touch()  # whose holder is gone
    long_ago = time.time() - 3 * 24 * 3600
    os.utime(left / "file", (long_ago, long_ago))
    assert found(cli, "store")["store.staging"]["fixable"]

    cli("doctor", "--fix", "store")

    assert not left.exists()


def test_a_box_whose_file_was_cut_short_is_an_error(cli: Cli) -> None:
    cli.home.mkdir()
    record = cli.home / "boxes" / "web" / "1" / "x86_64" / "box.json"
    record.parent.mkdir(parents=True)
    record.write_text("{")

    assert found(cli, "store")["store.record"]["level"] == "error"


def test_an_area_there_is_not_is_refused_with_a_guess(cli: Cli) -> None:
    told = cli("doctor", "netwrok")

    assert told.status == 2
    assert "network" in told.err
