"""What a person sees: a real pseudo-terminal, read back through a tiny screen."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PRELUDE = """
import os, sys, threading, time
from vagrantish.cli.invocation import parse
from vagrantish.cli.options import Options
from vagrantish.cli.app import App
from vagrantish.cli.interrupt import Interrupts
app = App(Options(parse(sys.argv[1:] + ["version"]).args, os.environ), os.environ)
op = app.op

def until_drawn():
    while app.renderer._region is None:
        time.sleep(0.02)
    time.sleep(0.35)
"""


class Screen:
    """A terminal of our own, on which a program of ours runs."""

    def __init__(self, program: str, *words: str, width: int = 70, **env: str) -> None:
        self.master, terminal = pty.openpty()
        ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 20, width, 0, 0))
        environment = {
            k: v
            for k, v in os.environ.items()
            if k not in ("NO_COLOR", "FORCE_COLOR", "VX_LOG", "COLUMNS", "LINES")
        }
        self.before = termios.tcgetattr(terminal)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + program, *words],
            stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
            env={**environment, "TERM": "xterm", "PYTHONUTF8": "1", **env},
        )  # fmt: skip
        self.terminal = terminal
        self.written = ""

    def read_until(self, text: str, timeout_s: float = 20) -> None:
        deadline = time.monotonic() + timeout_s
        while text not in self.written:
            assert time.monotonic() < deadline, f"{text!r} never came: {self.written!r}"
            self._read()

    def read_to_end(self) -> str:
        while self.process.poll() is None:
            self._read()
        self._read()
        return self.written

    def lines(self) -> list[str]:
        """The screen at the end, without colours."""
        rows: list[str] = [""]
        at = 0
        for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", self.written):
            if piece == "\n":
                at += 1
                if at == len(rows):
                    rows.append("")
            elif piece == "\x1b[2K":
                rows[at] = ""
            elif re.fullmatch(r"\x1b\[[0-9]*A", piece):
                at = max(0, at - int(piece[2:-1] or 1))
            elif not piece.startswith("\x1b") and piece != "\r":
                rows[at] = rows[at] + piece if not rows[at].endswith(piece) else piece
        return [row for row in rows if row]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.terminal)

    def _read(self) -> None:
        from select import select

        if select([self.master], [], [], 0.1)[0]:
            self.written += os.read(self.master, 65536).decode(errors="replace")


@pytest.fixture
def screens() -> Iterator[list[Screen]]:
    opened: list[Screen] = []
    yield opened
    for screen in opened:
        screen.close()


def test_steps_that_are_over_stay_and_the_drawing_goes(screens: list[Screen]) -> None:
    screen = Screen("""
with op.on("default").step("boot", "Booting") as step:
    until_drawn()
    step.outcome = "ready in 0.8 s"
op.on("default").warn("slow host")
app.close()
print("imported", "rich" in sys.modules)
""")
    screens.append(screen)

    screen.read_to_end()

    assert "⠙" in screen.written
    assert screen.lines() == [
        "  ✓ default  Booting … ready in 0.8 s",
        "  ! default  warning: slow host",
        "imported True",
    ]


def test_quick_steps_are_never_drawn_nor_rich_imported(screens: list[Screen]) -> None:
    screen = Screen("""
for name in ("one", "two"):
    with op.step(name, "Step " + name):
        pass
app.close()
print("imported", "rich" in sys.modules)
""")
    screens.append(screen)

    assert screen.read_to_end().splitlines() == [
        "  \x1b[32m✓\x1b[0m Step one",
        "  \x1b[32m✓\x1b[0m Step two",
        "imported False",
    ]


def test_output_of_several_machines_is_named_and_harmless(screens: list[Screen]) -> None:
    screen = Screen(
        """
for name in ("web", "db"):
    with op.on(name).step("provision:x", "Running x") as step:
        until_drawn()
        step.output("\\x1b[2J\\x1b]0;owned\\x07hello from " + name)
app.close()
""",
        "--color=never",
    )
    screens.append(screen)

    screen.read_to_end()

    assert "\x1b[2J" not in screen.written
    assert "owned" not in screen.written
    assert "    hello from web" in screen.written
    assert "    db | hello from db" in screen.written


def test_a_download_shows_bar_rate_and_time_left(screens: list[Screen]) -> None:
    screen = Screen(
        """
with op.step("fetch", "Fetching kernel") as step:
    step.progress(0, 10 << 20)
    until_drawn()
    for done in range(1, 11):
        step.progress(done << 20, 10 << 20)
        time.sleep(0.1)
app.close()
""",
        width=100,
    )
    screens.append(screen)

    text = re.sub(r"\x1b\[[0-9;]*m", "", screen.read_to_end())

    assert re.search(r"Fetching kernel ━+╌+ \d+% of 10MiB \d+\.\dMiB/s \d:\d\d left \d\.\d s", text)


def test_a_narrow_terminal_gets_one_line_a_step(screens: list[Screen]) -> None:
    screen = Screen(
        """
with op.on("a-machine").step("fetch", "Fetching something with a long name") as step:
    step.progress(1 << 20, 10 << 20)
    until_drawn()
app.close()
""",
        "--color=never",
        width=24,
    )
    screens.append(screen)

    screen.read_to_end()

    drawn = re.findall(r"  [⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] [^\r\n\x1b]*", screen.written)
    assert drawn
    assert all(len(line) <= 24 for line in drawn)


def test_a_terminal_without_unicode_gets_ascii(screens: list[Screen]) -> None:
    screen = Screen(
        """
with op.on("web").step("boot", "Booting") as step:
    step.progress(1, 2)
    until_drawn()
app.close()
""",
        PYTHONUTF8="0",
        PYTHONIOENCODING="ascii",
    )
    screens.append(screen)

    screen.read_to_end()

    assert screen.written.isascii()
    assert "ok" in screen.lines()[0]


def test_an_answer_does_not_mix_with_the_drawing(screens: list[Screen]) -> None:
    screen = Screen(
        """
with op.step("one", "Working"):
    until_drawn()
    app.answer("the answer")
    until_drawn()
app.close()
""",
        "--color=never",
    )
    screens.append(screen)

    screen.read_to_end()

    assert screen.lines()[0] == "the answer"
    assert screen.lines()[1].startswith("  ✓ Working … ")


def test_ctrl_c_leaves_the_terminal_as_it_was(screens: list[Screen]) -> None:
    screen = Screen("""
try:
    with Interrupts(app.interrupt):
        with op.on("web").step("boot", "Booting"):
            print("sleeping")
            app.cancel.sleep(60)
except KeyboardInterrupt:
    pass
finally:
    app.close()
print("the end")
""")
    screens.append(screen)
    screen.read_until("⠙")

    screen.process.send_signal(2)
    screen.read_to_end()

    assert screen.process.returncode == 0
    assert re.search(r"✗.* Booting … interrupted after", screen.written)
    assert screen.lines()[-1] == "the end"
    assert "\x1b[?25l" not in screen.written  # the cursor was never hidden
    assert termios.tcgetattr(screen.terminal) == screen.before


def test_a_flood_of_output_is_shown_whole_and_fast(screens: list[Screen]) -> None:
    screen = Screen("""
with op.step("provision:big", "Printing"):
    pass
with op.step("provision:big", "Printing") as step:
    until_drawn()
    began = time.monotonic()
    for number in range(5000):
        step.output(f"line {number} " + "x" * 60)
    took = time.monotonic() - began
app.close()
print("took", took < 5)
""")
    screens.append(screen)

    screen.read_to_end()

    assert all(f"line {number} x" in screen.written for number in range(5000))
    assert "took True" in screen.written
