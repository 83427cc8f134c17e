"""Which process counts as a machine's hypervisor; a sleeping Python stands in for it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from vagrantish import proc
from vagrantish.model import Forward
from vagrantish.paths import MachineLayout
from vagrantish.provider import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUTES = (Forward(guest=80, host=8080, auto=True),)


@pytest.fixture
def layout(tmp_path: Path) -> MachineLayout:
    return MachineLayout(tmp_path)


@pytest.fixture
def hypervisor(layout: MachineLayout) -> Iterator[proc.ProcessIdentity]:
    """A process with this machine's pid file, and two forwards, on its command line."""
    words = (
        "-pidfile",
        str(layout.pid_file),
        "-netdev",
        "user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=udp:127.0.0.1:5353-:53",
    )
    yield from sleeper(*words)


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[proc.ProcessIdentity]:
    """The hypervisor of another machine."""
    yield from sleeper("-pidfile", str(tmp_path / "other" / "vm.pid"))


def sleeper(*words: str) -> Iterator[proc.ProcessIdentity]:
    code = "import time; print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        identity = proc.identify(child.pid)
        assert identity is not None
        yield identity
        child.kill()


def note_down(layout: MachineLayout, process: proc.ProcessIdentity) -> None:
    running.write_note(layout, running.note_of(process, ("127.0.0.1", 2222), ROUTES))


def test_nothing_runs_in_an_empty_folder(layout: MachineLayout) -> None:
    assert running.find(layout) is None
    assert running.address(layout) is None
    assert running.forwards(layout) == ()
    assert not running.is_ready(layout)


def test_the_noted_process_is_found(
    layout: MachineLayout, hypervisor: proc.ProcessIdentity
) -> None:
    note_down(layout, hypervisor)

    assert running.find(layout) == hypervisor
    assert running.address(layout) == ("127.0.0.1", 2222)
    assert running.forwards(layout) == ROUTES


def test_the_note_is_for_its_owner_only(
    layout: MachineLayout, hypervisor: proc.ProcessIdentity
) -> None:
    note_down(layout, hypervisor)

    assert layout.process.stat().st_mode & 0o777 == 0o600


def test_a_pid_that_went_to_a_stranger_is_not_believed(
    layout: MachineLayout, stranger: proc.ProcessIdentity
) -> None:
    before = proc.ProcessIdentity(stranger.pid, "another start", stranger.program)
    note_down(layout, before)
    layout.pid_file.write_text(f"{stranger.pid}\n")

    assert running.find(layout) is None
    assert running.address(layout) is None


def test_a_process_vx_had_no_time_to_note_is_found_by_its_pid_file(
    layout: MachineLayout, hypervisor: proc.ProcessIdentity
) -> None:
    layout.pid_file.write_text(f"{hypervisor.pid}\n")

    assert running.find(layout) == hypervisor


def test_a_home_reached_through_a_link_is_the_same_home(
    layout: MachineLayout, hypervisor: proc.ProcessIdentity
) -> None:
    layout.pid_file.write_text(f"{hypervisor.pid}\n")
    link = layout.directory / "link"
    link.symlink_to(layout.directory)

    assert running.find(MachineLayout(link)) == hypervisor


def test_the_address_of_a_process_vx_did_not_note_is_read_back_and_noted(
    layout: MachineLayout, hypervisor: proc.ProcessIdentity
) -> None:
    layout.pid_file.write_text(f"{hypervisor.pid}\n")

    assert running.address(layout) == ("127.0.0.1", 2222)
    assert running.forwards(layout) == (Forward(guest=53, host=5353, proto="udp"),)
    assert json.loads(layout.process.read_text())["pid"] == hypervisor.pid


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"schema": 99, "pid": 1}',
        b'{"schema": 1}',
        b'{"schema": 1, "pid": "1", "started": 1, "program": null}',
        b'{"schema": 1, "pid": -1, "started": "", "program": ""}',
    ],
)
def test_a_damaged_note_counts_as_absent(
    layout: MachineLayout, hypervisor: proc.ProcessIdentity, content: bytes
) -> None:
    layout.process.write_bytes(content)

    assert running.find(layout) is None
    assert running.address(layout) is None

    layout.pid_file.write_text(f"{hypervisor.pid}\n")

    assert running.find(layout) == hypervisor
    assert running.address(layout) == ("127.0.0.1", 2222)


@pytest.mark.parametrize("content", ["", "x", "-1", "0", "99999999999999999999", "1 2"])
def test_a_damaged_pid_file_counts_as_absent(layout: MachineLayout, content: str) -> None:
    layout.pid_file.write_text(content)

    assert running.find(layout) is None


def test_ready_is_remembered_once_it_was_so(
    layout: MachineLayout, hypervisor: proc.ProcessIdentity
) -> None:
    note_down(layout, hypervisor)
    assert not running.is_ready(layout)

    running.mark_ready(layout)
    running.mark_ready(layout)

    assert running.is_ready(layout)
    assert running.address(layout) == ("127.0.0.1", 2222)


def test_nothing_is_marked_ready_when_nothing_runs(layout: MachineLayout) -> None:
    running.mark_ready(layout)

    assert not layout.process.exists()


def test_one_look_is_cheap(layout: MachineLayout, hypervisor: proc.ProcessIdentity) -> None:
    note_down(layout, hypervisor)
    best = min(timed_find(layout) for _ in range(20))

    assert best < 0.01


def timed_find(layout: MachineLayout) -> float:
    began = time.perf_counter()
    running.find(layout)
    return time.perf_counter() - began
