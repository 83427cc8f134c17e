"""A process is told from a stranger that got its pid."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from vagrantish.proc import ProcessIdentity, arguments, identify, is_alive, read_pid_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_running_process_is_itself_until_it_ends() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input(1)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.read(1) == b"1"  # before its exec it is a copy of this process
        identity = identify(child.pid)
        assert identity is not None
        assert is_alive(identity)
        assert arguments(child.pid)[1:] == ("-c", "input(1)")
        child.communicate(b"\n")

    assert not is_alive(identity)
    assert identify(child.pid) is None


def test_a_zombie_does_not_count_as_running() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)

    assert identify(child) is None

    os.waitpid(child, 0)


@pytest.mark.parametrize("other", [{"started": "0:1"}, {"program": "xhyve"}])
def test_same_pid_but_other_start_or_program_is_a_stranger(other: dict[str, str]) -> None:
    me = identify(os.getpid())
    assert me is not None
    fields = {"started": me.started, "program": me.program, **other}

    assert not is_alive(ProcessIdentity(me.pid, **fields))


@pytest.mark.parametrize("pid", [0, -1])
def test_no_process_has_such_a_pid(pid: int) -> None:
    assert identify(pid) is None


@pytest.mark.parametrize(
    ("text", "pid"), [("42\n", 42), ("42", 42), ("", None), ("x", None), ("-1", None)]
)
def test_a_pid_file_holds_a_number_or_nothing(tmp_path: Path, text: str, pid: int | None) -> None:
    path = tmp_path / "vm.pid"
    path.write_text(text)

    assert read_pid_file(path) == pid
    assert read_pid_file(tmp_path / "none") is None
