"""``vx explain``: of a machine's logs, and of anybody's."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_cli_left_over import make
from tests.unit.diagnosis.transcripts import Transcript, every
from vagrantish.diagnosis.causes import Place
from vagrantish.errors import BootError
from vagrantish.lifecycle import bootnote
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli
    from vagrantish.paths import MachineLayout

EVERY = every()
HEALTHY = [one for one in EVERY if one.name.startswith("healthy-")]
# Those that a log shows by itself, without what only the one who watched could know.
PLAIN = [
    one
    for one in EVERY
    if one not in HEALTHY
    and not {"harmless", "exit"} & set(one.header)
    and one.states in ((), ("stalled",))
    and len(one.parts) == 1
]
PANIC = "[    0.000000] Linux version 6.1\n[    1.0] Kernel panic - not syncing: Oops\n"
HEALTHY_TEXT = "[    0.000000] Linux version 6.1\n[    2.5] vx: network up\nvx: ready ssh\n"


def layout_of(cli: Cli) -> MachineLayout:
    cli.xhyvefile("")
    return VxHome(cli.home).machine(make(cli, "default").id)


def written(folder: Path, text: str) -> str:
    path = folder / "some.log"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("transcript", PLAIN, ids=lambda one: one.name)
def test_anybodys_log_is_explained(cli: Cli, tmp_path: Path, transcript: Transcript) -> None:
    ((place, text),) = transcript.parts.items()
    option = "--stderr" if place is Place.STDERR else "--serial"

    told = cli("explain", option, written(tmp_path, text), "--json")

    assert told.status == 0
    assert told.answer["cause"] is not None or transcript.cause == "clock-wrong"
    named = told.answer["cause"]["id"] if told.answer["cause"] else "clock-wrong"
    assert named == transcript.cause


@pytest.mark.parametrize("transcript", HEALTHY, ids=lambda one: one.name)
def test_a_healthy_log_has_no_cause(cli: Cli, tmp_path: Path, transcript: Transcript) -> None:
    told = cli("explain", "--serial", written(tmp_path, transcript.parts[Place.CONSOLE]), "--json")

    assert told.answer["cause"] is None
    assert told.answer["healthy"] is True
    assert told.answer["remarks"] == []


def test_what_is_shown_has_stages_cause_lines_and_a_way_on(cli: Cli, tmp_path: Path) -> None:
    text = "[    0.000000] Linux version 6.1\n[    0.9] Initramfs unpacking failed: write error\n"

    told = cli("explain", "--serial", written(tmp_path, text + PANIC.split("\n")[1] + "\n"))

    lines = told.out.splitlines()
    assert lines[1].startswith("✓ program")
    assert any(line.startswith("✓ kernel       0.0 s") for line in lines)
    assert any(line.startswith("✗ initrd") for line in lines)
    assert "the guest's kernel panicked: Oops (cause: initrd-no-room)" in lines
    assert "  | [    0.9] Initramfs unpacking failed: write error" in lines
    assert lines[-1].startswith("What to do: Give the machine more memory")


def test_a_machine_that_never_got_up_is_explained(cli: Cli) -> None:
    layout = layout_of(cli)
    layout.console_log.write_text(PANIC)

    told = cli("explain", "--json")

    assert told.status == 0
    assert told.answer["machine"] == "default"
    assert told.answer["cause"]["id"] == "panic"
    assert told.answer["stage"] == "kernel"


def test_how_the_hypervisor_ended_is_part_of_it(cli: Cli) -> None:
    layout = layout_of(cli)
    layout.console_log.write_text("")
    layout.provider_log.write_text("pci slot 2:0 already occupied!\n")
    layout.ended.write_text(
        json.dumps(
            {
                "schema": 1,
                "provider": "xhyve",
                "kind": "failed-to-start",
                "text": "xhyve did not start (status 1): pci slot 2:0 already occupied!",
                "status": 1,
                "seconds": 0.1,
                "at": time.time(),
                "restarts": 0,
                "printed": False,
                "stderr": "",
            }
        )
    )

    told = cli("explain")
    answer = cli("explain", "--json").answer

    assert "Machine default: xhyve did not start (status 1)" in told.out
    assert answer["cause"]["id"] == "pci-slot-twice"
    assert answer["ending"]["kind"] == "failed-to-start"


def test_what_only_the_one_who_waited_saw_is_remembered(cli: Cli) -> None:
    layout = layout_of(cli)
    layout.console_log.write_text(HEALTHY_TEXT + "\nweb login: ")
    with pytest.raises(BootError), bootnote.kept(layout):
        raise BootError("no way in", cause="login-refused", stage="login")

    failed = cli("explain", "--json").answer
    with bootnote.kept(layout):
        pass

    assert failed["cause"]["id"] == "login-refused"
    assert cli("explain", "--json").answer["cause"] is None


def test_a_damaged_note_counts_as_none(cli: Cli) -> None:
    layout = layout_of(cli)
    layout.console_log.write_text(HEALTHY_TEXT)
    for text in ("", "[]", '{"schema": 2, "cause": "x"}', "[" * 100_000):
        layout.boot_note.write_text(text)

        assert cli("explain", "--json").answer["healthy"] is True


def test_a_machine_that_booted_well_is_called_that(cli: Cli) -> None:
    layout_of(cli).console_log.write_text(HEALTHY_TEXT)

    told = cli("explain")

    assert told.out.endswith("Machine default booted well; it is halted now.\n")
    assert "2.5 s" in told.out


def test_a_guest_whose_console_tells_little_was_well_when_it_was_seen_to_be(cli: Cli) -> None:
    layout = layout_of(cli)
    layout.console_log.write_text(
        "[    0.000000] Linux version 6.1.0\n[   34.4] reboot: Power down\n"
    )
    with bootnote.kept(layout):
        pass

    assert cli("explain").out.endswith("Machine default booted well; it is halted now.\n")


def test_what_up_said_of_a_boot_it_ended_comes_before_how_it_ended_it(cli: Cli) -> None:
    layout = layout_of(cli)
    layout.console_log.write_text("[    0.000000] Linux version 6.1.0\n")
    with pytest.raises(BootError), bootnote.kept(layout):
        raise BootError("the guest has not got any further for 5 s", cause="", stage="kernel")

    assert "Machine default: the guest has not got any further for 5 s" in cli("explain").out


def test_the_boot_before_can_be_asked_for(cli: Cli) -> None:
    layout = layout_of(cli)
    layout.console_log.write_text(HEALTHY_TEXT)
    layout.previous_console_log.write_text(PANIC)

    assert cli("explain", "--json").answer["cause"] is None
    assert cli("explain", "--previous", "--json").answer["cause"]["id"] == "panic"


def test_a_machine_that_is_not_there_ends_with_6(cli: Cli) -> None:
    cli.xhyvefile("")

    assert cli("explain").status == 6
    assert cli("explain", "nobody").status == 6
    layout_of(cli)
    told = cli("explain")
    assert told.status == 6
    assert "vx up" in told.err


def test_questions_that_make_no_sense_are_refused(cli: Cli, tmp_path: Path) -> None:
    log = written(tmp_path, PANIC)

    assert cli("explain", "web", "--serial", log).status == 2
    assert cli("explain", "--serial", "-", "--stderr", "-").status == 2
    told = cli("explain", "--serial", str(tmp_path / "none"))
    assert told.status == 2
    assert "No such file" in told.err


def test_what_a_log_holds_cannot_command_the_terminal(cli: Cli, tmp_path: Path) -> None:
    told = cli("explain", "--serial", written(tmp_path, PANIC.replace("Oops", "\x1b[2JO\x07ops")))

    assert "\x1b" not in told.out
    assert "panicked: Oops" in told.out


def test_a_log_without_end_is_read_from_both_ends_and_soon(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "big.log"
    with path.open("wb") as file:
        file.write(b"[    0.000000] Linux version 6.1\n")
        os.ftruncate(file.fileno(), 5 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\nKernel panic - not syncing: at last\n")
    began = time.monotonic()

    told = cli("explain", "--serial", str(path), "--json")

    assert time.monotonic() - began < 20
    assert told.answer["cause"]["event"].endswith("at last")
    assert told.answer["stages"][2]["line"].endswith("Linux version 6.1")
