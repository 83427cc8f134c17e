from __future__ import annotations

import os
import stat
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from vagrantish.errors import HostError
from vagrantish.events import Cancel, Cancelled
from vagrantish.provider.child import printable, run

if TYPE_CHECKING:
    from pathlib import Path


def test_status_and_output_of_both_streams_come_back() -> None:
    done = run(("/bin/sh", "-c", "echo out; echo err >&2; exit 3"), timeout_s=20)

    assert (done.status, done.output) == (3, "out\nerr")


def test_a_program_killed_by_a_signal_tells_which() -> None:
    assert run(("/bin/sh", "-c", "kill -6 $$"), timeout_s=20).status == -6


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 60 & echo $! $$ > {pids}; wait"
    began = time.monotonic()

    done = run(("/bin/sh", "-c", script), timeout_s=0.5)

    assert done.status is None
    assert time.monotonic() - began < 10
    for pid in map(int, pids.read_text().split()):
        assert_gone(pid)


def assert_gone(pid: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.02)
    pytest.fail(f"{pid} still runs")


def test_endless_output_is_cut_and_does_not_keep_it_alive() -> None:
    done = run(("/bin/sh", "-c", "exec yes"), timeout_s=0.5)

    assert done.status is None
    assert 1000 < len(done.output) <= 16 << 10


def test_a_child_that_keeps_the_output_open_is_not_waited_for(tmp_path: Path) -> None:
    pids = tmp_path / "pid"
    began = time.monotonic()

    done = run(("/bin/sh", "-c", f"sleep 30 & echo $! > {pids}; echo ready"), timeout_s=20)

    psutil.Process(int(pids.read_text())).kill()
    assert (done.status, done.output) == (0, "ready")
    assert time.monotonic() - began < 10


def test_closing_its_output_early_does_not_end_the_wait() -> None:
    done = run(("/bin/sh", "-c", "exec >&- 2>&-; sleep 0.3; exit 7"), timeout_s=20)

    assert done.status == 7


def test_cancelling_kills_it(tmp_path: Path) -> None:
    cancel = Cancel()
    pids = tmp_path / "pid"
    threading.Timer(0.3, cancel.set).start()
    began = time.monotonic()

    with pytest.raises(Cancelled):
        run(("/bin/sh", "-c", f"echo $$ > {pids}; exec sleep 60"), timeout_s=50, cancel=cancel)

    assert time.monotonic() - began < 10
    assert_gone(int(pids.read_text()))


def test_it_gets_little_environment_no_input_and_its_own_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "secret")
    made = tmp_path / "made"
    code = (
        "import os, sys; print('SOME_TOKEN' in os.environ, 'PATH' in os.environ, os.getcwd(), "
        f"os.getsid(0) == os.getpid(), repr(sys.stdin.read())); open({str(made)!r}, 'w')"
    )

    done = run((sys.executable, "-c", code), timeout_s=20)

    assert done.output == "False True / True ''"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["missing", "folder", "text"])
def test_what_is_no_program_is_said_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    text = tmp_path / "text"
    text.write_bytes(b"\x7fELF nonsense")
    text.chmod(0o755)

    with pytest.raises(HostError, match="cannot run") as caught:
        run((str(tmp_path / name),), timeout_s=5)

    assert "program for this computer" in caught.value.hint


def test_no_descriptor_is_left_open() -> None:
    process = psutil.Process()
    run(("/bin/true",) if os.path.exists("/bin/true") else ("true",), timeout_s=5)
    before = process.num_fds()

    for _ in range(5):
        run(("/bin/sh", "-c", "echo x"), timeout_s=5)

    assert process.num_fds() == before


def test_control_characters_of_strangers_are_left_out() -> None:
    assert printable(b"\x1b[31mred\x07\r\nb\xffad\n\n\nend\x00") == "[31mred\nb�ad\nend"
