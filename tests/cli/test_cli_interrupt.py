"""Ctrl-C, SIGTERM, SIGHUP: asked once, ended twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

WORK = """
import os, sys, time
from vagrantish.cli.interrupt import Interrupts
from vagrantish.events import Cancel
cancel = Cancel()
with Interrupts(cancel.set):
    try:
        print("working", flush=True)
        {waiting}
    except KeyboardInterrupt:
        print("asked to stop", cancel.is_set(), flush=True)
        {stopping}
        sys.exit(3)
"""


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(
    started: list[subprocess.Popen[str]], *, waiting: str, stopping: str = "pass"
) -> subprocess.Popen[str]:
    program = WORK.format(waiting=waiting, stopping=stopping)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    started.append(process)
    assert process.stdout
    assert process.stdout.readline() == "working\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "waiting", ["time.sleep(60)", "cancel.sleep(60)", "os.read(os.pipe()[0], 1)"]
)
def test_the_first_signal_breaks_any_wait(
    started: list[subprocess.Popen[str]], number: signal.Signals, waiting: str
) -> None:
    process = start(started, waiting=waiting)

    process.send_signal(number)
    out, err = process.communicate(timeout=10)

    assert (process.returncode, out, err) == (3, "asked to stop True\n", "")


def test_the_second_signal_ends_vx_at_once(started: list[subprocess.Popen[str]]) -> None:
    process = start(started, waiting="time.sleep(60)", stopping="time.sleep(60)")
    process.send_signal(signal.SIGINT)
    assert process.stdout
    assert process.stdout.readline() == "asked to stop True\n"

    process.send_signal(signal.SIGTERM)

    assert process.wait(10) == -signal.SIGTERM


def test_what_nohup_ignores_stays_ignored(started: list[subprocess.Popen[str]]) -> None:
    program = WORK.format(waiting="time.sleep(60)", stopping="pass")
    ignoring = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{program}"
    process = subprocess.Popen(
        [sys.executable, "-c", ignoring], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    started.append(process)
    assert process.stdout
    process.stdout.readline()

    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)

    assert process.communicate(timeout=10)[0] == "asked to stop True\n"
