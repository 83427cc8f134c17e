"""``vx logs`` of whatever a guest wrote."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.cli.test_cli_left_over import make

if TYPE_CHECKING:
    from pathlib import Path

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
