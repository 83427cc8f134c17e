"""Programs that are no good QEMU: whatever they do, the start ends in one error and leaves nothing."""

from __future__ import annotations

import errno
import os
import socket
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from vagrantish.errors import HostError, PortTaken, ProviderError
from vagrantish.events import Cancel, Cancelled, Event, Note, Op
from vagrantish.model import Disk, Forward, QemuOptions, VmSpec
from vagrantish.paths import VxHome
from vagrantish.provider import running
from vagrantish.provider.base import HostFacts
from vagrantish.provider.qemu.errors import AccelFailed
from vagrantish.provider.qemu.provider import Qemu
from vagrantish.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Recorder:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def emit(self, event: Event, /) -> None:
        if isinstance(event, Note):
            self.texts.append(event.text)


@pytest.fixture
def op() -> Op:
    return Op(Recorder(), Cancel(), "web")


@pytest.fixture
def home() -> Iterator[VxHome]:
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as name:
        yield VxHome(Path(name))


@pytest.fixture
def vm(home: VxHome, tmp_path: Path) -> VmSpec:
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(b"\x7fELF")
    return VmSpec(
        id="web",
        name="web",
        uuid="0f3c0a52-9d5f-4c51-a8a0-3d4a0ea20a11",
        arch="x86_64",
        cpus=1,
        memory_bytes=32 * MIB,
        kernel=kernel,
        initrd=None,
        cmdline="",
        disks=(),
        mac="52:54:00:0a:0b:0c",
        ssh_port=2222,
        ssh_port_fixed=True,
        forwards=(),
        cpu_level="x86-64-v1",
        qemu=QemuOptions(),
        layout=home.machine("web"),
    )


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], HostFacts]:
    """Write a shell script to be started in QEMU's place; $PIDFILE is where it must put its pid."""

    def write(script: str, *, accel: str = "tcg") -> HostFacts:
        path = tmp_path / "qemu-system-x86_64"
        find_pid_file = 'prev=; for w; do [ "$prev" = -pidfile ] && PIDFILE=$w; prev=$w; done\n'
        path.write_text(f"#!/bin/sh\n{find_pid_file}{script}\n")
        path.chmod(0o755)
        return HostFacts(program=str(path), version="7.2.22", accel=accel)

    return write


def leftovers(vm: VmSpec) -> set[str]:
    return {path.name for path in vm.layout.directory.iterdir()} - {
        "start.lock",
        "provider.log",
        "console.log",
        "console.log.1",
    }


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 0", "ended right after it started machine web"),
        ("exit 3", "it ended with status 3"),
        ("echo 'qemu: all is lost' >&2; exit 1", "did not start machine web: all is lost"),
        ("printf '\\033[31m\\377\\000red' >&2; exit 1", "did not start machine web: "),
        ("kill -9 $$", "died of signal 9"),
        ("echo 99999999 > $PIDFILE", "ended right after"),
        ("echo 1 > $PIDFILE", "ended right after"),
    ],
)
def test_a_program_that_starts_nothing_ends_in_one_error(
    vm: VmSpec, op: Op, home: VxHome, program: Callable[[str], HostFacts], script: str, message: str
) -> None:
    with pytest.raises(ProviderError) as caught:
        Qemu(home).start(vm, program(script), op=op)

    assert message in caught.value.message
    assert "\x1b" not in caught.value.message
    assert caught.value.hint
    assert running.find(vm.layout) is None
    assert leftovers(vm) == set()


def test_what_the_program_said_is_kept_with_its_command(
    vm: VmSpec, op: Op, home: VxHome, program: Callable[[str], HostFacts]
) -> None:
    host = program("echo 'qemu: all is lost' >&2; exit 1")

    with pytest.raises(ProviderError):
        Qemu(home).start(vm, host, op=op)

    log = vm.layout.provider_log.read_text()
    assert log.startswith(f"$ {host.program} -name web")
    assert "all is lost" in log


def test_a_program_that_hangs_while_starting_can_be_cancelled(
    vm: VmSpec, op: Op, home: VxHome, program: Callable[[str], HostFacts], tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    threading.Timer(0.3, op.cancel.set).start()
    began = time.monotonic()

    with pytest.raises(Cancelled):
        Qemu(home).start(vm, program(f"sleep 60 & echo $! > {pids}; wait"), op=op)

    assert time.monotonic() - began < 10
    assert is_gone(int(pids.read_text()))
    assert leftovers(vm) == set()


def test_what_a_cancelled_start_left_running_is_ended(
    vm: VmSpec, op: Op, home: VxHome, program: Callable[[str], HostFacts], tmp_path: Path
) -> None:
    """The daemon is up and has its pid file, its starter hangs: both must go."""
    daemon = tmp_path / "daemon.py"
    daemon.write_text("import os, time\nos.setsid()\ntime.sleep(60)\n")
    script = f'{sys.executable} {daemon} -pidfile "$PIDFILE" >/dev/null 2>&1 & echo $! > "$PIDFILE"; sleep 60'
    threading.Timer(1.0, op.cancel.set).start()
    pids: list[int] = []
    threading.Timer(0.9, lambda: pids.append(int(vm.layout.pid_file.read_text()))).start()

    with pytest.raises(Cancelled):
        Qemu(home).start(vm, program(script), op=op)

    assert pids
    assert is_gone(pids[0])
    assert leftovers(vm) == set()


def is_gone(pid: int) -> bool:
    """Soon: its signal may still be on the way."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


REFUSE = """
for word; do case "$word" in *hostfwd=*)
    rule=$(echo "$word" | tr , '\\n' | sed -n 's/hostfwd=//p' | tail -n 1)
    echo "qemu: -netdev $word: Could not set up host forwarding rule '$rule'" >&2; exit 1
esac; done
"""


def test_a_port_refused_for_no_visible_reason_ends_in_an_error(
    vm: VmSpec, op: Op, home: VxHome, program: Callable[[str], HostFacts]
) -> None:
    vm = replace(vm, forwards=(Forward(guest=80, host=18080, auto=False),))

    with pytest.raises(PortTaken, match=r"18080 .* is held by another process"):
        Qemu(home).start(vm, program(REFUSE), op=op)


def test_a_port_refused_again_and_again_does_not_go_on_for_ever(
    vm: VmSpec, op: Op, home: VxHome, program: Callable[[str], HostFacts]
) -> None:
    vm = replace(vm, forwards=(Forward(guest=80, host=18080),))

    with pytest.raises(ProviderError) as caught:
        Qemu(home).start(vm, program(REFUSE), op=op)

    assert "host = 0" in caught.value.hint or "0 for any free port" in caught.value.hint


def test_a_port_held_by_somebody_names_them(
    vm: VmSpec, op: Op, home: VxHome, program: Callable[[str], HostFacts]
) -> None:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        vm = replace(vm, ssh_port=listener.getsockname()[1])

        with pytest.raises(PortTaken, match=rf"ssh of web, is held by .*\(pid {os.getpid()}\)"):
            Qemu(home).start(vm, program(REFUSE), op=op)


def test_two_forwards_that_want_one_port_are_told_before_anything_runs(
    vm: VmSpec, op: Op, home: VxHome, program: Callable[[str], HostFacts]
) -> None:
    twins = (
        Forward(guest=80, host=18080, auto=False),
        Forward(guest=81, host=18080, auto=False),
    )

    with pytest.raises(PortTaken, match="wanted twice by web"):
        Qemu(home).start(replace(vm, forwards=twins), program("exit 1"), op=op)

    assert not vm.layout.provider_log.exists()


def test_acceleration_that_was_asked_for_and_fails_is_an_error(
    vm: VmSpec, op: Op, home: VxHome, program: Callable[..., HostFacts]
) -> None:
    host = program("echo 'qemu: error: failed to set MSR 0x10a' >&2; kill -6 $$", accel="kvm")

    with pytest.raises(AccelFailed, match="KVM failed"):
        Qemu(home).start(replace(vm, qemu=QemuOptions(accel="kvm")), host, op=op)


def test_a_missing_program_between_probe_and_start_is_an_error(
    vm: VmSpec, op: Op, home: VxHome
) -> None:
    gone = HostFacts(program="/nowhere/qemu", version="7.2.22", accel="tcg")

    with pytest.raises(HostError, match="cannot run /nowhere/qemu"):
        Qemu(home).start(vm, gone, op=op)


# --- probing ---------------------------------------------------------------------------------


def test_the_version_is_read_once_and_kept(
    home: VxHome, op: Op, program: Callable[[str], HostFacts], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    script = f"echo x >> {runs}; echo 'QEMU emulator version 6.2.0 (Debian 1:6.2+dfsg-2)'"
    options = QemuOptions(binary=program(script).program, accel="tcg")

    facts = [Qemu(home).probe(options, op=op) for _ in range(3)]

    assert {(fact.version, fact.accel, fact.program) for fact in facts} == {
        ("6.2.0", "tcg", options.binary)
    }
    assert runs.read_text() == "x\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 1", "it ended with status 1"),
        ("echo 'bash 5.2'", 'it answered "bash 5.2"'),
        ("printf '\\033]0;evil\\007'", "is not a working QEMU"),
        ("echo QEMU emulator version x.y", "is not a working QEMU"),
    ],
)
def test_a_program_that_is_not_qemu_is_told_by_its_answer(
    home: VxHome, op: Op, program: Callable[[str], HostFacts], script: str, message: str
) -> None:
    with pytest.raises(ProviderError) as caught:
        Qemu(home).probe(QemuOptions(binary=program(script).program), op=op)

    assert message in caught.value.message
    assert "\x1b" not in caught.value.message
    assert "[qemu]" in caught.value.hint


@pytest.mark.parametrize(("binary", "what"), [("/nowhere/qemu", "not there"), ("/tmp", "folder")])
def test_a_binary_that_is_none_is_told_by_name(
    home: VxHome, op: Op, binary: str, what: str
) -> None:
    with pytest.raises(HostError, match=what) as caught:
        Qemu(home).probe(QemuOptions(binary=binary), op=op)

    assert binary in caught.value.message


def test_a_host_without_qemu_is_told_how_to_get_it(
    home: VxHome, op: Op, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(HostError, match="QEMU is not installed"):
        Qemu(home).probe(QemuOptions(), op=op)


# --- problems --------------------------------------------------------------------------------

HOST = HostFacts(program="/usr/bin/qemu-system-x86_64", version="7.2.22", accel="tcg")


def test_a_sound_machine_has_no_problems(vm: VmSpec, home: VxHome) -> None:
    own_disk = Disk(path=vm.layout.disk, format="qcow2", serial="vx-root")
    vm = replace(vm, initrd=vm.layout.initrd, disks=(own_disk,))

    assert Qemu(home).problems(vm, HOST) == ()


def test_every_problem_is_told_at_once(vm: VmSpec, home: VxHome, tmp_path: Path) -> None:
    assert vm.kernel is not None
    vm.kernel.write_bytes(b"\x1f\x8b")
    vm = replace(
        vm,
        arch="aarch64",
        initrd=tmp_path / "none",
        disks=(Disk(path=tmp_path / "gone.vmdk", format="vmdk", serial="x" * 21),),
        forwards=(Forward(guest=80, host=8080, host_ip="::1"),),
        layout=VxHome(Path("/" + "x" * 90)).machine("web"),
    )

    problems = Qemu(home).problems(vm, replace(HOST, version="5.2.0"))

    expected = (
        "QEMU 5.2.0 (/usr/bin/qemu-system-x86_64) is too old",
        "is for aarch64",
        "compressed with gzip",
        "has the format vmdk",
        "more than 20 characters",
        f"initrd {tmp_path}/none",
        f"disk {tmp_path}/gone.vmdk",
        "'::1' is not an IPv4 address",
        "too long for a socket",
    )
    assert len(problems) == len(expected)
    for problem, text in zip(problems, expected, strict=True):
        assert text in problem.message
        assert problem.hint
        assert problem.where == "web"


def test_a_home_that_cannot_be_written_is_told_so(
    vm: VmSpec, op: Op, home: VxHome, program: Callable[[str], HostFacts]
) -> None:
    home.machines.write_text("a file where a folder should be")

    with pytest.raises(HostError, match=os.strerror(errno.ENOTDIR)):
        Qemu(home).start(vm, program("exit 0"), op=op)
