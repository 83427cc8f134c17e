"""The supervisor with real processes: sh scripts stand in for the hypervisor."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.fakes.mounts import own_mounts
from tests.fakes.supervised import Machine, machine_in, wait_for
from vagrantish import proc
from vagrantish.diagnosis.endings import EndingKind
from vagrantish.errors import MachineBusy, ProviderError
from vagrantish.provider import running
from vagrantish.provider.base import StopOutcome
from vagrantish.provider.supervisor.holders import holders
from vagrantish.provider.supervisor.job import ConsoleKind, Hook
from vagrantish.provider.supervisor.log import SaidLog
from vagrantish.provider.supervisor.start import StartFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

# One word on the console, then a life that ends by SIGTERM as a guest's power button ends it.
LIVES = "echo up >&0; trap 'echo off >&0; exit 1' TERM; while :; do read word <&0; done"
# The same, and nobody reads what is typed there.
DEAF = "echo up >&0; trap 'exit 1' TERM; while :; do sleep 0.05; done"
ECHOES = "echo up >&0; exec cat <&0 >&0"


@pytest.fixture
def machine(vx_home: Path) -> Iterator[Machine]:
    machine = machine_in(vx_home)
    yield machine
    machine.stop()


@pytest.fixture
def other(vx_home: Path) -> Iterator[Machine]:
    machine = machine_in(vx_home, "m2")
    yield machine
    machine.stop()


def supervisor_of(machine: Machine) -> proc.ProcessIdentity:
    supervisor = running.find_supervisor(machine.layout)
    assert supervisor is not None
    return supervisor


def join(machine: Machine) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(str(machine.layout.console_socket))
    return client


def words_of(machine: Machine) -> tuple[str, ...]:
    process = running.find_hypervisor(machine.layout)
    return proc.arguments(process.pid) if process is not None else ()


def nothing_runs(machine: Machine) -> bool:
    return not holders(machine.mark, "sh") and running.find(machine.layout) is None


# --- one life --------------------------------------------------------------------------------


def test_a_machine_is_up_and_found_by_its_hypervisor(machine: Machine) -> None:
    process = machine.start(LIVES)

    assert running.find(machine.layout) == process
    assert proc.arguments(process.pid)[-1] == machine.mark
    note = running.read_note(machine.layout)
    assert note is not None
    assert note["supervisor"]["pid"] == supervisor_of(machine).pid


def test_its_end_is_written_down_and_its_files_go(machine: Machine) -> None:
    over = machine.run("echo hello >&0; echo oh no >&2; exit 1")

    assert over.ending.kind is EndingKind.POWERED_OFF
    assert (over.ending.status, over.stderr, over.printed) == (1, "oh no\n", True)
    assert abs(over.at - time.time()) < 60
    left = {path.name for path in machine.layout.directory.iterdir()}
    assert not left & {"process.json", "vm.pid", "con.sock"}
    assert "oh no" in machine.layout.provider_log.read_text()


def test_nobody_needs_to_read_the_console_for_it_to_be_logged_whole(machine: Machine) -> None:
    machine.run("i=0; while [ $i -lt 3000 ]; do echo line $i of many >&0; i=$((i+1)); done; exit 1")

    assert machine.console == "".join(f"line {i} of many\n" for i in range(3000))


def test_the_console_is_raw_and_no_terminal_of_the_hypervisors_own(machine: Machine) -> None:
    machine.start("stty -a <&0 >&0; ps -o sid=,tty= -p $$ >&0; echo end >&0; exec sleep 60")
    machine.await_console("end\n")

    assert "-icanon" in machine.console
    assert "-opost" in machine.console
    assert "-echo " in machine.console
    assert machine.console.split()[-2] == "?"
    assert os.getsid(supervisor_of(machine).pid) != os.getsid(0)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux tells it in /proc")
def test_the_hypervisor_gets_its_signals_as_from_a_shell(machine: Machine) -> None:
    process = machine.start("exec sleep 60")

    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        told = dict(line.split(":\t") for line in file if line.startswith("Sig"))
    # The first 31: what comes after is the C library's own business.
    standard = {int(told[field], 16) & 0x7FFFFFFF for field in ("SigIgn", "SigCgt", "SigBlk")}
    assert standard == {0}


def test_a_start_that_fails_says_what_the_hypervisor_said(machine: Machine) -> None:
    with pytest.raises(StartFailed) as failed:
        machine.start("echo 'hv_vm_create HV_ERROR (unspecified error)' >&2; kill -ABRT $$")

    assert "hv_vm_create HV_ERROR" in failed.value.message
    assert "codesign" in failed.value.hint
    assert failed.value.ended.ending.kind is EndingKind.FAILED_TO_START
    assert running.find(machine.layout) is None


def test_a_program_that_is_not_there_is_said(machine: Machine) -> None:
    job = machine.job("", argv=("/nowhere/xhyve", machine.mark))

    with pytest.raises(StartFailed, match="cannot run /nowhere/xhyve: No such file"):
        machine.start(job)


def test_a_job_that_cannot_be_read_is_said(machine: Machine) -> None:
    machine.layout.console_log.mkdir()
    machine.layout.provider_out.mkdir()

    with pytest.raises(ProviderError):
        machine.start(LIVES)

    assert nothing_runs(machine)
    machine.layout.provider_out.rmdir()


def test_it_stays_small_and_holds_few_files(machine: Machine) -> None:
    machine.start(LIVES)
    supervisor = psutil.Process(supervisor_of(machine).pid)

    assert supervisor.memory_info().rss < 20 << 20
    assert supervisor.num_threads() == 1
    assert supervisor.num_fds() < 16
    assert supervisor.cwd() == "/"


def test_secrets_of_the_users_environment_stay_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret-of-the-user")
    monkeypatch.setenv("FAKE_XHYVE_STATE", "/x")

    machine.start("env >&0; exec sleep 60")

    wait_for(lambda: "PATH=" in machine.console)
    assert "secret-of-the-user" not in machine.console
    assert "FAKE_XHYVE_STATE=/x" in machine.console
    assert "secret-of-the-user" not in str(psutil.Process(supervisor_of(machine).pid).environ())


# --- again and again -------------------------------------------------------------------------


def test_a_reboot_starts_the_same_machine_again(machine: Machine, tmp_path: Path) -> None:
    once = tmp_path / "once"
    first = machine.start(
        f"echo up >&0; sleep 0.2; [ -e {once} ] && exec sleep 60; : >{once}; exit 0"
    )

    wait_for(lambda: machine.console.count("up") == 2)

    wait_for(lambda: running.find_hypervisor(machine.layout) not in (None, first))
    assert running.find(machine.layout) != supervisor_of(machine)
    assert "rebooted" in machine.layout.provider_log.read_text()


def test_what_vx_noted_is_kept_over_a_reboot(machine: Machine, tmp_path: Path) -> None:
    go = tmp_path / "go"
    first = machine.start(f"echo up >&0; while [ ! -e {go} ]; do sleep 0.05; done; rm {go}; exit 0")
    running.mark_ready(machine.layout, boots=3)
    running.note_address(machine.layout, "192.168.64.7", 22)

    go.touch()

    wait_for(lambda: running.find_hypervisor(machine.layout) not in (None, first))
    assert running.is_ready(machine.layout)
    assert running.boots(machine.layout) == 3
    assert running.address(machine.layout) == ("192.168.64.7", 22)


def test_between_two_hypervisors_the_supervisor_counts(machine: Machine, tmp_path: Path) -> None:
    go, slow = tmp_path / "go", tmp_path / "slow"
    job = machine.job(
        f"echo up >&0; while [ ! -e {go} ]; do sleep 0.02; done; exit 0",
        before=(Hook(argv=("/bin/sh", "-c", f"[ ! -e {slow} ] || exec sleep 60")),),
    )
    machine.start(job)
    slow.touch()

    go.touch()

    supervisor = supervisor_of(machine)
    wait_for(lambda: running.find(machine.layout) == supervisor)
    assert running.find_hypervisor(machine.layout) is None
    began = time.monotonic()
    assert machine.stop(grace_s=30) is StopOutcome.SHUT_DOWN
    assert time.monotonic() - began < 20


def test_a_guest_that_does_nothing_but_reboot_is_given_up(machine: Machine) -> None:
    over = machine.run("echo up >&0; sleep 0.05; exit 0")

    assert over.ending.kind is EndingKind.CRASHED
    assert "rebooted 5 times" in over.ending.text
    assert machine.console.count("up") == 5
    assert over.restarts == 4


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="Linux tells it in /proc")
def test_reboots_leak_no_descriptors(machine: Machine, tmp_path: Path) -> None:
    count = tmp_path / "count"
    machine.start(
        f"echo up >&0; echo >>{count}; [ $(wc -l <{count}) -gt 3 ] && exec sleep 60; exit 0"
    )
    supervisor = psutil.Process(supervisor_of(machine).pid)
    before = supervisor.num_fds()

    wait_for(lambda: machine.console.count("up") == 4)

    wait_for(lambda: supervisor.num_fds() <= before)


def test_hooks_run_before_each_start_and_after_the_end(machine: Machine, tmp_path: Path) -> None:
    log, once = tmp_path / "log", tmp_path / "once"
    job = machine.job(
        f"echo up >&0; echo run >>{log}; sleep 0.1; [ -e {once} ] && exit 1; : >{once}; exit 0",
        before=(
            Hook(argv=("/bin/false",), must=False),
            Hook(argv=("/bin/sh", "-c", f"cat >>{log}"), stdin="load\n"),
        ),
        after=(Hook(argv=("/bin/sh", "-c", f"echo destroy >>{log}")),),
    )

    machine.run(job)

    assert log.read_text().split() == ["load", "run", "load", "run", "destroy"]


def test_a_hook_that_fails_ends_the_start(machine: Machine) -> None:
    job = machine.job(LIVES, before=(Hook(argv=("/bin/false",)),))

    with pytest.raises(StartFailed, match="false ended with status 1"):
        machine.start(job)


# --- its end ---------------------------------------------------------------------------------


def test_sigterm_presses_the_power_button(machine: Machine) -> None:
    machine.start(LIVES)

    os.kill(supervisor_of(machine).pid, signal.SIGTERM)

    assert machine.await_end().ending.kind is EndingKind.POWERED_OFF
    assert "off" in machine.console


def test_sigint_cuts_the_power(machine: Machine) -> None:
    machine.start("echo up >&0; trap '' TERM INT; while :; do sleep 0.05; done")

    os.kill(supervisor_of(machine).pid, signal.SIGINT)

    over = machine.await_end()
    assert (over.ending.kind, over.ending.text) == (EndingKind.KILLED, "its power was cut")


def test_a_button_of_its_own_is_run_as_a_command(machine: Machine, tmp_path: Path) -> None:
    off = tmp_path / "off"
    machine.start(
        machine.job(
            f"echo up >&0; while [ ! -e {off} ]; do sleep 0.05; done; exit 1",
            button=Hook(argv=("/usr/bin/touch", str(off))),
        )
    )

    assert machine.stop(grace_s=20) is StopOutcome.SHUT_DOWN


def test_the_guest_is_asked_before_its_button_is_pressed(machine: Machine, tmp_path: Path) -> None:
    off = tmp_path / "off"
    machine.start(
        f"echo up >&0; trap 'echo pressed >&0; exit 1' TERM; while [ ! -e {off} ]; do sleep 0.05; "
        "done; exit 1"
    )

    outcome = machine.stop(grace_s=20, ask_guest=off.touch)

    assert outcome is StopOutcome.SHUT_DOWN
    assert "pressed" not in machine.console


def test_a_guest_that_cannot_be_asked_has_its_button_pressed_soon(machine: Machine) -> None:
    machine.start(LIVES)

    def refuse() -> None:
        raise ProviderError("ssh says no")

    began = time.monotonic()
    assert machine.stop(grace_s=25, ask_guest=refuse) is StopOutcome.SHUT_DOWN
    assert time.monotonic() - began < 12


def test_a_guest_that_ignores_everything_is_forced_off(machine: Machine) -> None:
    machine.start("echo up >&0; trap '' TERM; while :; do sleep 0.05; done")

    assert machine.stop(grace_s=0.4, ask_guest=lambda: None) is StopOutcome.FORCED

    assert nothing_runs(machine)
    assert machine.stop() is StopOutcome.NOT_RUNNING


# --- kills -----------------------------------------------------------------------------------


def test_a_killed_supervisor_leaves_a_machine_that_is_found_and_can_be_ended(
    machine: Machine,
) -> None:
    process = machine.start("echo up >&0; trap '' HUP; while :; do sleep 0.05; done")
    os.kill(supervisor_of(machine).pid, signal.SIGKILL)
    wait_for(lambda: running.find_supervisor(machine.layout) is None)

    assert running.find(machine.layout) == process
    with pytest.raises(MachineBusy):
        machine.start(LIVES)

    assert machine.stop() is StopOutcome.FORCED
    assert nothing_runs(machine)


def test_without_any_note_the_pid_file_and_the_mark_find_it(machine: Machine) -> None:
    process = machine.start("echo up >&0; trap '' HUP; while :; do sleep 0.05; done")
    os.kill(supervisor_of(machine).pid, signal.SIGKILL)
    machine.layout.process.unlink()

    assert running.find(machine.layout) == process


def test_what_was_noted_is_made_up_where_the_note_was_lost(machine: Machine) -> None:
    machine.start(machine.job(LIVES, facts={"ssh_port": 2022, "hostname": "web"}))
    machine.layout.process.unlink()

    running.note_address(machine.layout, "192.168.64.7", 2022)
    running.mark_ready(machine.layout)

    assert running.address(machine.layout) == ("192.168.64.7", 2022)
    assert running.is_ready(machine.layout)
    note = running.read_note(machine.layout)
    assert note is not None
    assert (note["provider"], note["hostname"]) == ("xhyve", "web")


def test_without_any_file_the_mark_alone_keeps_a_second_out(machine: Machine) -> None:
    machine.start("echo up >&0; trap '' HUP; while :; do sleep 0.05; done")
    os.kill(supervisor_of(machine).pid, signal.SIGKILL)
    machine.layout.process.unlink()
    machine.layout.pid_file.unlink()

    with pytest.raises(MachineBusy):
        machine.start(LIVES)

    assert machine.stop() is StopOutcome.FORCED
    assert nothing_runs(machine)


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("who", ["supervisor", "hypervisor"])
def test_killed_at_any_moment_nothing_is_left_and_it_starts_again(
    machine: Machine, who: str, delay_s: float
) -> None:
    machine.start(
        "echo up >&0; trap '' HUP; i=0; while [ $i -lt 3 ]; do sleep 0.03; i=$((i+1)); done"
    )
    time.sleep(delay_s)

    find = running.find_supervisor if who == "supervisor" else running.find_hypervisor
    process = find(machine.layout)
    if process is not None:
        os.kill(process.pid, signal.SIGKILL)
    machine.stop()

    assert nothing_runs(machine)
    machine.start(LIVES)
    assert machine.stop(grace_s=20) is StopOutcome.SHUT_DOWN


def test_started_twice_it_is_busy(machine: Machine) -> None:
    machine.start(LIVES)

    with pytest.raises(MachineBusy, match="already running"):
        machine.start(LIVES)


def test_two_machines_never_write_to_one_disk(
    machine: Machine, other: Machine, tmp_path: Path
) -> None:
    disk = tmp_path / "disk.img"
    disk.touch()
    machine.start(machine.job(LIVES, locks=(str(disk),)))

    with pytest.raises(MachineBusy, match="in use by another machine"):
        other.start(other.job(LIVES, locks=(str(disk),)))

    os.kill(supervisor_of(machine).pid, signal.SIGKILL)
    with pytest.raises(MachineBusy, match="in use by another machine"):
        other.start(other.job(LIVES, locks=(str(disk),)))
    machine.stop()
    other.start(other.job(LIVES, locks=(str(disk),)))


# --- the console's client --------------------------------------------------------------------


def test_a_client_reads_along_and_types(machine: Machine) -> None:
    machine.start(ECHOES)

    with join(machine) as client:
        client.sendall(b"hello\x03\x1a\n")

        assert client.recv(64) == b"hello\x03\x1a\n"
    assert "hello" in machine.console


def test_a_second_client_is_refused_until_the_first_leaves(machine: Machine) -> None:
    machine.start(ECHOES)

    with join(machine) as first:
        first.sendall(b"one\n")
        machine.await_console("one")
        with join(machine) as second:
            assert b"in use" in second.recv(200)
            assert second.recv(200) == b""
    with join(machine) as third:
        third.sendall(b"three\n")
        machine.await_console("three")


def test_a_client_that_does_not_read_holds_nothing_up(machine: Machine) -> None:
    machine.start(
        "exec 3<&0; read go; yes some words for the console | head -c 3000000 >&3; exit 1"
    )

    with join(machine) as client:
        client.sendall(b"go\n")
        machine.await_end()

    assert len(machine.console) == 3_000_000


def test_a_guest_that_does_not_read_holds_nothing_up(machine: Machine) -> None:
    machine.start(DEAF)

    with join(machine) as client:
        client.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                client.send(b"x" * 4096)

        assert machine.stop(grace_s=20) is StopOutcome.SHUT_DOWN


def test_a_client_stays_over_a_reboot(machine: Machine, tmp_path: Path) -> None:
    go = tmp_path / "go"
    machine.start(f"echo up >&0; while [ ! -e {go} ]; do sleep 0.02; done; rm {go}; exit 0")

    with join(machine) as client:
        client.sendall(b"\n")
        go.touch()

        assert client.recv(64) == b"up\n"


# --- a host that does not play along ---------------------------------------------------------


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a file that is always full")
def test_a_full_disk_costs_the_log_and_not_the_guest(machine: Machine) -> None:
    machine.layout.console_log.symlink_to("/dev/full")

    machine.start(LIVES)

    assert machine.stop(grace_s=20) is StopOutcome.SHUT_DOWN


_ON_A_FULL_DISK = """
import os, sys
from pathlib import Path
from tests.fakes.mounts import own_mounts
from tests.fakes.supervised import machine_in
machine = machine_in(Path(sys.argv[1]))
with open(f"{sys.argv[1]}/rest", "wb") as rest:
    room = os.statvfs(sys.argv[1])
    rest.write(bytes((room.f_bavail - int(sys.argv[2])) * room.f_bsize))
try:
    machine.start("echo up >&0; exec sleep 60")
except Exception as error:
    print(type(error).__name__, error.message)
"""


@pytest.mark.parametrize("blocks_left", [3, 4])
def test_a_disk_too_full_to_say_so_is_told_to_be_full(vx_home: Path, blocks_left: int) -> None:
    mounts, program = own_mounts(), shlex.join((sys.executable, "-c", _ON_A_FULL_DISK))
    vx_home.mkdir(exist_ok=True)
    folder = shlex.quote(str(vx_home))

    done = subprocess.run(
        [
            *mounts,
            "sh",
            "-c",
            f"mount -t tmpfs -o size=1m none {folder} && {program} {folder} {blocks_left}",
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert "no room left" in done.stdout, done


def test_what_is_told_of_a_long_error_stream_begins_with_a_line(tmp_path: Path) -> None:
    log = SaidLog(tmp_path / "log")
    log.note("said before this run")
    log.begin_run()
    for number in range(1000):
        log.note(f"line {number}")

    assert log.tail(30) == b"line 997\nline 998\nline 999\n"
    assert log.tail(1 << 20).startswith(b"line 0\n")


def test_an_error_stream_without_end_is_cut(machine: Machine) -> None:
    machine.start("echo up >&0; yes Unhandled inb | head -c 9000000 >&2; exec sleep 60")

    wait_for(lambda: b"too much to keep" in machine.layout.provider_log.read_bytes())
    assert machine.layout.provider_log.stat().st_size < 9_000_000


def test_without_a_pty_the_log_is_the_hypervisors(machine: Machine) -> None:
    log = machine.layout.console_log
    over = machine.run(machine.job(f"echo up >{log}; exit 1", console=ConsoleKind.FILE))

    assert over.printed
    assert not machine.layout.console_socket.exists()


def test_a_console_that_is_no_terminal_carries_both_ways(machine: Machine) -> None:
    script = "test -t 0 || echo none >&0; exec dd bs=1 status=none >&0"
    machine.start(machine.job(script, console=ConsoleKind.SOCKET))
    machine.await_console("none")

    with join(machine) as client:
        client.sendall(b"hello\n")

        wait_for(lambda: machine.console == "none\nhello\n")


def test_a_guest_whose_console_was_a_socket_outlives_its_reader(machine: Machine) -> None:
    script = "while :; do echo up >&0; sleep 0.02; done 2>/dev/null"
    process = machine.start(machine.job(script, console=ConsoleKind.SOCKET))
    os.kill(supervisor_of(machine).pid, signal.SIGKILL)
    wait_for(lambda: running.find_supervisor(machine.layout) is None)
    time.sleep(0.3)

    assert running.find(machine.layout) == process
    assert machine.stop() is StopOutcome.FORCED


def test_behind_sudo_the_hypervisor_itself_is_found_and_watched(
    machine: Machine, tmp_path: Path
) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\nshift\n"$@"\nexit $?\n')
    sudo.chmod(0o755)
    hyper = tmp_path / "hyper"
    hyper.write_text(f"#!/bin/sh\n{LIVES}\n")
    hyper.chmod(0o755)
    argv = (str(sudo), "-n", str(hyper), machine.mark)
    machine.start(machine.job("", argv=argv, privilege="sudo"))

    wait_for(lambda: words_of(machine)[:2] == ("/bin/sh", str(hyper)))
    hypervisor = running.find(machine.layout)
    assert hypervisor is not None

    parent = psutil.Process(hypervisor.pid).parent()
    assert parent is not None
    parent.kill()
    time.sleep(0.3)
    assert running.find(machine.layout) == hypervisor
    assert machine.stop(grace_s=20) is StopOutcome.SHUT_DOWN
