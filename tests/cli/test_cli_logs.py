"""``vx logs`` of whatever a guest wrote."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cli.test_cli_left_over import make
from vagrantish import proc
from vagrantish.paths import MachineLayout
from vagrantish.provider import running

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def console_of(cli: Cli) -> Path:
    cli.xhyvefile("")
    return cli.home / "machines" / make(cli, "default").id / "console.log"


def test_a_guest_that_never_ends_its_line_is_shown_in_pieces_and_soon(cli: Cli) -> None:
    size = 48 << 20
    console_of(cli).write_bytes(b"x" * size)
    began = time.monotonic()

    told = cli("logs")

    assert told.status == 0
    assert told.out.count("x") == size
    assert time.monotonic() - began < 10


def test_what_a_guest_wrote_cannot_command_the_terminal(cli: Cli) -> None:
    console_of(cli).write_bytes(b"a\x1b[2J\x1b]0;title\x07b\x9bc\n\x1bc\x00end")

    told = cli("logs")

    assert told.out.splitlines()[0].startswith("ab")
    assert "\x1b" not in told.out
    assert "\x07" not in told.out
    assert told.out.splitlines()[-1] == "end"


def test_following_a_halted_machine_shows_all_and_ends(cli: Cli) -> None:
    console_of(cli).write_bytes(b"one\ntwo")

    assert cli("logs", "-f").out == "one\ntwo\n"


def test_a_log_that_is_followed_is_so_when_it_grew_too_big_and_began_anew(cli: Cli) -> None:
    console = console_of(cli)
    console.write_bytes(b"one\n")
    guest = subprocess.Popen(["sleep", "300"])
    running.write_note(
        MachineLayout(console.parent),
        {"schema": running.SCHEMA, **running.identity_fields(proc.identify(guest.pid))},
    )
    vx = Path(sys.executable).with_name("vx")
    with subprocess.Popen([vx, "logs", "-f"], stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        try:
            assert follower.stdout.readline() == "one\n"

            os.replace(console, console.with_name("console.log.1"))
            console.write_bytes(b"the second file is longer\n")
            assert follower.stdout.readline() == "the second file is longer\n"

            os.truncate(console, 0)
            with console.open("ab") as file:
                file.write(b"three\n")
            assert follower.stdout.readline() == "three\n"
        finally:
            guest.kill()
            guest.wait()
        assert follower.wait(30) == 0
