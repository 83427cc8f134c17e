"""The vfkit provider over the stand-in for vfkit, whose guest is acted."""

from __future__ import annotations

import os
import shutil
import signal
import socketserver
import tempfile
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.applevz.install import install
from tests.fakes.hyve.trying import bzimage
from tests.fakes.recorder import Recorder
from vagrantish import proc
from vagrantish.diagnosis.endings import EndingKind
from vagrantish.errors import HostError, MachineBusy, ProviderError
from vagrantish.events import Cancel, Op
from vagrantish.model import Disk, QemuOptions, VfkitOptions, VmSpec
from vagrantish.paths import VxHome
from vagrantish.provider.base import HostFacts, StopOutcome
from vagrantish.provider.vfkit import rest
from vagrantish.provider.vfkit.provider import Vfkit
from vagrantish.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HANG_S = 30.0


def wait_for(check: Callable[[], object]) -> None:
    deadline = time.monotonic() + HANG_S
    while not check():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


@pytest.fixture
def home(homes: Path) -> Iterator[VxHome]:
    home = VxHome(Path(tempfile.mkdtemp(prefix="", dir=homes)))
    yield home
    for folder in home.machines.glob("*"):
        vm_layout = home.machine(folder.name)
        Vfkit(home).stop(vm_layout, grace_s=0, ask_guest=None, op=Op(Recorder(), Cancel(), "web"))
    shutil.rmtree(home.root)


@pytest.fixture
def op() -> Op:
    return Op(Recorder(), Cancel(), "web")


@pytest.fixture
def vfkit(home: VxHome) -> Vfkit:
    return Vfkit(home)


@pytest.fixture
def vm(home: VxHome) -> VmSpec:
    layout = home.machine("0f3c0a52")
    layout.directory.mkdir(parents=True)
    layout.kernel.write_bytes(bzimage())
    layout.disk.write_bytes(bytes(1 << 16))
    return VmSpec(
        id="0f3c0a52",
        name="web",
        uuid=str(uuid.uuid4()),  # strays are looked for on the whole host
        arch="x86_64",
        cpus=1,
        memory_bytes=64 * MIB,
        kernel=layout.kernel,
        initrd=None,
        cmdline="console=ttyS0",
        disks=(Disk(path=layout.disk, format="raw", serial="vx-root"),),
        mac="52:54:00:0a:0b:0c",
        ssh_port=0,
        ssh_port_fixed=False,
        forwards=(),
        cpu_level="x86-64-v1",
        qemu=QemuOptions(),
        layout=layout,
    )


def scripted(home: VxHome, script: str, **more: str) -> HostFacts:
    """A host whose vfkit acts that guest."""
    settings = {"FAKE_VFKIT_BOOT": "0", "FAKE_VFKIT_SCRIPT": script,
                "FAKE_VFKIT_STATE": str(home.root / "state"), **more}  # fmt: skip
    program = install(home.root / "bin", settings=settings)
    return HostFacts(program=str(program), version="0.6.3", accel="vfkit")


def test_a_guest_starts_is_heard_and_answers_for_itself(
    vfkit: Vfkit, home: VxHome, vm: VmSpec, op: Op
) -> None:
    started = vfkit.start(vm, scripted(home, "acpi@0; say@0:hello"), op=op)

    assert proc.is_alive(started.process)
    assert started.address is None
    assert vfkit.find(vm.layout) == started.process
    assert b"hello" in vm.layout.console_log.read_bytes()
    assert vfkit.details(vm.layout) == {"status": "running"}
    assert vfkit.ending(vm.layout) is None


def test_a_second_start_is_refused_while_it_runs(
    vfkit: Vfkit, home: VxHome, vm: VmSpec, op: Op
) -> None:
    host = scripted(home, "acpi@0; say@0:hello")
    vfkit.start(vm, host, op=op)

    with pytest.raises(MachineBusy, match="already running"):
        vfkit.start(vm, host, op=op)


def test_the_button_alone_ends_a_guest_that_heeds_it(
    vfkit: Vfkit, home: VxHome, vm: VmSpec, op: Op
) -> None:
    vfkit.start(vm, scripted(home, "acpi@0; say@0:hello"), op=op)

    outcome = vfkit.stop(vm.layout, grace_s=HANG_S, ask_guest=None, op=op)

    assert outcome is StopOutcome.SHUT_DOWN
    ending = vfkit.ending(vm.layout)
    assert ending is not None
    assert (ending.kind, ending.status) == (EndingKind.POWERED_OFF, 0)
    assert vfkit.details(vm.layout) == {}


def test_a_deaf_guest_is_cut_off_and_leaves_nothing(
    vfkit: Vfkit, home: VxHome, vm: VmSpec, op: Op
) -> None:
    started = vfkit.start(vm, scripted(home, "deaf@0; say@0:hello"), op=op)

    outcome = vfkit.stop(vm.layout, grace_s=1, ask_guest=None, op=op)

    assert outcome is StopOutcome.FORCED
    assert not proc.is_alive(started.process)
    left = {path.name for path in vm.layout.directory.iterdir()}
    assert not left & {"rest.sock", "vm.pid", "process.json"}
    again = vfkit.stop(vm.layout, grace_s=1, ask_guest=None, op=op)
    assert again is StopOutcome.NOT_RUNNING


def test_the_last_runs_console_is_kept_at_the_next_start(
    vfkit: Vfkit, home: VxHome, vm: VmSpec, op: Op
) -> None:
    for word in ("first", "second"):
        vfkit.start(vm, scripted(home, f"acpi@0; say@0:{word}"), op=op)
        vfkit.stop(vm.layout, grace_s=HANG_S, ask_guest=None, op=op)

    assert vm.layout.console_log.read_bytes().startswith(b"second")
    assert vm.layout.previous_console_log.read_bytes().startswith(b"first")


def test_a_socket_that_a_killed_vfkit_left_is_no_obstacle(
    vfkit: Vfkit, home: VxHome, vm: VmSpec, op: Op
) -> None:
    host = scripted(home, "acpi@0; say@0:hello")
    started = vfkit.start(vm, host, op=op)
    os.kill(started.process.pid, signal.SIGKILL)
    wait_for(lambda: vfkit.find(vm.layout) is None)

    again = vfkit.start(vm, host, op=op)

    assert proc.is_alive(again.process)


def test_a_guests_reboot_stays_inside_one_vfkit(
    vfkit: Vfkit, home: VxHome, vm: VmSpec, op: Op
) -> None:
    started = vfkit.start(vm, scripted(home, "say@0:hello; reboot@0.2"), op=op)

    wait_for(lambda: vm.layout.console_log.read_bytes().count(b"hello") > 1)

    assert vfkit.find(vm.layout) == started.process


def test_what_vfkit_refuses_is_the_error(vfkit: Vfkit, home: VxHome, vm: VmSpec, op: Op) -> None:
    vm = replace(vm, vfkit=VfkitOptions(extra_args=("--device", "virtio-disk")))

    with pytest.raises(ProviderError, match="unknown device type: virtio-disk"):
        vfkit.start(vm, scripted(home, "poweroff"), op=op)

    assert vfkit.find(vm.layout) is None


def test_problems_read_the_boxes_files(vfkit: Vfkit, home: VxHome, vm: VmSpec) -> None:
    host = scripted(home, "")
    assert vfkit.problems(vm, host) == ()

    vm.layout.disk.write_bytes(b"QFI\xfb")
    no_kernel = home.root / "page.html"
    no_kernel.write_text("<!doctype html>")
    found = vfkit.problems(replace(vm, kernel=no_kernel), host)

    assert ["an HTML page" in found[0].message, "is not raw" in found[1].message] == [True, True]


def test_a_command_line_longer_than_the_kernel_takes_is_told(
    vfkit: Vfkit, home: VxHome, vm: VmSpec
) -> None:
    (problem,) = vfkit.problems(replace(vm, cmdline="x" * 2047), scripted(home, ""))

    assert "this kernel takes 2047" in problem.message


def test_probing_finds_the_version_and_tells_what_is_missing(
    vfkit: Vfkit, home: VxHome, op: Op
) -> None:
    program = scripted(home, "").program

    host = vfkit.probe(VfkitOptions(binary=program), op=op)

    assert (host.program, host.version, host.accel) == (program, "0.6.3", "vfkit")
    assert vfkit.missing(VfkitOptions(binary=program)) == ""
    assert "is not there" in vfkit.missing(VfkitOptions(binary="/no/vfkit"))
    with pytest.raises(HostError, match="/no/vfkit"):
        vfkit.probe(VfkitOptions(binary="/no/vfkit"), op=op)
    with pytest.raises(ProviderError, match="is not a working vfkit"):
        vfkit.probe(VfkitOptions(binary="/bin/true"), op=op)


class _Silly(socketserver.BaseRequestHandler):
    answer = b""

    def handle(self) -> None:
        self.request.recv(4096)
        self.request.sendall(self.answer)


@contextmanager
def served(path: Path, answer: bytes) -> Iterator[None]:
    handler = type("Handler", (_Silly,), {"answer": answer})
    with socketserver.UnixStreamServer(str(path), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "does not answer"),
        (b"SSH-2.0-x\r\n", "does not answer"),
        (HEAD, "is not vfkit"),
        (HEAD + b"[1]", "is not vfkit"),
        (HEAD + b'{"state": 5}', "is not vfkit"),
        (HEAD + b"[" * 70000, "is not vfkit"),
        (b'HTTP/1.1 500 No\r\n\r\n{"error": "not now"}', r"refused \(500\): not now"),
    ],
)
def test_whatever_answers_instead_is_an_error_of_ours(
    home: VxHome, answer: bytes, said: str
) -> None:
    path = home.root / "s"

    with served(path, answer), pytest.raises(rest.RestError, match=said):
        rest.state(path, timeout_s=5)


def test_a_service_that_is_not_there_is_told(home: VxHome) -> None:
    with pytest.raises(rest.RestError, match="does not answer"):
        rest.press_power_button(home.root / "none", timeout_s=1)
