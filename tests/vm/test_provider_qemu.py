"""The qemu provider with a real QEMU and a guest of 147 bytes, up in a fifth of a second.

The guest is a multiboot kernel that says hello on its serial port, echoes what it reads there,
powers off on "q", resets on "r", and powers off when its power button is pressed; a deaf one
ignores the button.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vagrantish import proc
from vagrantish.errors import MachineBusy, PortTaken, ProviderError, SSHError, VxError
from vagrantish.events import Cancel, Cancelled, Event, Note, Op
from vagrantish.model import Disk, Forward, QemuOptions, VmSpec
from vagrantish.paths import VxHome
from vagrantish.provider import console, running
from vagrantish.provider.base import HostFacts, Started, StopOutcome
from vagrantish.provider.qemu import accel
from vagrantish.provider.qemu.provider import Qemu
from vagrantish.provider.qemu.qmp import Qmp
from vagrantish.units import MIB, TIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = shutil.which("qemu-system-x86_64") or ""

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(not PROGRAM, reason="qemu-system-x86_64 is not installed"),
]

HELLO = b"tiny guest up\r\n"
# i386 machine code; load address 1 MiB, so "mov esi" takes 0x100083, where HELLO lies.
GUEST = (
    bytes.fromhex(
        "02b0ad1b 00000100 fe4f51e4"  # multiboot: magic, flags: addresses follow, checksum
        "00001000 00001000 00000000 00000000 20001000"  # header, load, no ends, entry
        "be83001000"  # mov esi, HELLO
        "ac84c07414 88c4"  # print: lodsb; end of text: to arm; mov ah, al
        "66bafd03 eca82074fb"  # wait until the serial port takes a byte (0x3fd, bit 5)
        "88e0 66baf803 ee ebe7"  # out 0x3f8, byte; to print
    )
    # arm: let the power button be seen: out 0x602 (ACPI PM1 enable), 0x100
    + bytes.fromhex("66ba0206 66b80001 66ef")
    + bytes.fromhex(
        "f390"  # loop: pause
        "66ba0006 66ed f6c401 7519"  # in 0x600 (ACPI PM1 status); button pressed: to off
        "66bafd03 eca801 74ea"  # nothing read at the serial port: to loop
        "66baf803 ec"  # in 0x3f8
        "3c717407 3c72740f"  # "q": to off; "r": to reset
        "ee ebda"  # echo; to loop
        "66ba0406 66b80020 66ef ebf4"  # off: out 0x604 (ACPI PM1 control), 0x2000: sleep state 5
        "66baf90c b006 ee ebf7"  # reset: out 0xcf9, 6
    )
    + HELLO
    + b"\0"
)
DEAF_GUEST = GUEST.replace(bytes.fromhex("66b80001 66ef"), bytes.fromhex("66b80000 66ef"))


def port_of(answer: Started) -> int:
    assert answer.address is not None
    return answer.address.port


class Recorder:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def emit(self, event: Event, /) -> None:
        if isinstance(event, Note):
            self.texts.append(event.text)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def op(recorder: Recorder) -> Op:
    return Op(recorder, Cancel(), "web")


@pytest.fixture
def home(homes: Path) -> Iterator[VxHome]:
    home = VxHome(Path(tempfile.mkdtemp(prefix="", dir=homes)))
    yield home
    for folder in home.machines.glob("*"):
        process = running.find(home.machine(folder.name))
        if process is not None:
            os.kill(process.pid, signal.SIGKILL)
            wait_for(lambda process=process: not proc.is_alive(process))  # type: ignore[misc]
    shutil.rmtree(home.root)


@pytest.fixture
def qemu(home: VxHome) -> Qemu:
    return Qemu(home)


@pytest.fixture
def host(qemu: Qemu, op: Op) -> HostFacts:
    return qemu.probe(QemuOptions(accel="tcg"), op=op)


@pytest.fixture
def make(home: VxHome, tmp_path: Path) -> Callable[..., VmSpec]:
    """A machine by name, other fields as given."""

    def build(name: str = "web", *, guest: bytes = GUEST, **changes: object) -> VmSpec:
        kernel = tmp_path / f"{name}.bin"
        kernel.write_bytes(guest)
        vm = VmSpec(
            id=name,
            name=name,
            uuid="0f3c0a52-9d5f-4c51-a8a0-3d4a0ea20a11",
            arch="x86_64",
            cpus=1,
            memory_bytes=32 * MIB,
            kernel=kernel,
            initrd=None,
            cmdline="a=1,2 b",
            disks=(),
            mac="52:54:00:0a:0b:0c",
            ssh_port=0,
            ssh_port_fixed=False,
            forwards=(),
            cpu_level="x86-64-v1",
            qemu=QemuOptions(),
            layout=home.machine(name),
        )
        return replace(vm, **changes)  # type: ignore[arg-type]

    return build


def wait_for(condition: Callable[[], object], *, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def started(qemu: Qemu, vm: VmSpec, host: HostFacts, op: Op) -> Started:
    """Start, and wait until the guest itself is up."""
    answer = qemu.start(vm, host, op=op)
    wait_for(lambda: HELLO in vm.layout.console_log.read_bytes())
    return answer


def tell_guest(vm: VmSpec, keys: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as guest:
        guest.connect(str(vm.layout.console_socket))
        guest.sendall(keys)
        time.sleep(0.1)  # a socket that is closed at once takes its bytes with it


def leftovers(vm: VmSpec) -> set[str]:
    logs = {
        "start.lock",
        "start.lock.holder",
        "console.lock",
        "provider.log",
        "console.log",
        "console.log.1",
    }
    return {path.name for path in vm.layout.directory.iterdir()} - logs


# --- starting and looking --------------------------------------------------------------------


def test_a_machine_starts_is_found_and_shuts_down_by_its_button(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make(forwards=(Forward(guest=80, host=0), Forward(guest=53, host=0, proto="udp")))

    answer = started(qemu, vm, host, op)

    assert qemu.find(vm.layout) == answer.process
    assert qemu.addresses(vm.layout).addresses == (answer.address,)
    assert port_of(answer) > 0
    assert [(f.guest, f.proto) for f in answer.forwards] == [(80, "tcp"), (53, "udp")]
    assert all(f.host > 0 for f in answer.forwards)
    assert running.forwards(vm.layout) == answer.forwards
    assert qemu.details(vm.layout) == {
        "status": "running",
        "version": host.version,
        "accel": "tcg",
        "cpus": 1,
    }

    assert qemu.stop(vm.layout, grace_s=20, ask_guest=None, op=op) is StopOutcome.SHUT_DOWN

    assert qemu.find(vm.layout) is None
    assert qemu.addresses(vm.layout).addresses == ()
    assert qemu.details(vm.layout) == {}
    assert leftovers(vm) == set()
    assert vm.layout.console_log.read_bytes() == HELLO
    assert qemu.stop(vm.layout, grace_s=20, ask_guest=None, op=op) is StopOutcome.NOT_RUNNING


def test_nobody_else_may_reach_its_sockets_and_logs(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make()
    started(qemu, vm, host, op)

    assert vm.layout.directory.stat().st_mode & 0o077 == 0
    for path in vm.layout.directory.iterdir():
        assert path.stat().st_mode & 0o007 == 0 or "start.lock" in path.name, path


def test_it_starts_with_commas_in_its_paths(
    qemu: Qemu, host: HostFacts, op: Op, tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory(prefix="a,b", dir="/tmp") as name:
        folder = Path(name)
        kernel, disk = folder / "k,k", folder / "d,d"
        initrd = tmp_path / "initrd"  # a multiboot kernel, unlike Linux, takes several: no comma
        kernel.write_bytes(GUEST)
        disk.write_bytes(b"\0" * MIB)
        initrd.write_bytes(b"module")
        layout = VxHome(folder).machine("web")
        vm = VmSpec(
            id="web",
            name="web",
            uuid="0f3c0a52-9d5f-4c51-a8a0-3d4a0ea20a11",
            arch="x86_64",
            cpus=2,
            memory_bytes=32 * MIB,
            kernel=kernel,
            initrd=initrd,
            cmdline="x,y",
            disks=(
                Disk(path=disk, format="raw", serial="vx-root"),
                Disk(path=kernel, format="raw", serial="vx,data", readonly=True),
            ),
            mac="52:54:00:0a:0b:0c",
            ssh_port=0,
            ssh_port_fixed=False,
            forwards=(),
            cpu_level="x86-64-v3",
            qemu=QemuOptions(),
            layout=layout,
        )
        started(qemu, vm, host, op)

        outcome = qemu.stop(layout, grace_s=20, ask_guest=None, op=op)

    assert outcome is StopOutcome.SHUT_DOWN


def test_a_running_machine_is_not_started_again(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make()
    process = started(qemu, vm, host, op).process

    with pytest.raises(MachineBusy, match=f"already running \\(pid {process.pid}\\)"):
        qemu.start(vm, host, op=op)

    assert qemu.find(vm.layout) == process
    assert vm.layout.console_log.read_bytes() == HELLO


def test_of_two_starts_at_once_one_wins_and_the_other_is_told(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make()
    outcomes: list[object] = []

    def start() -> None:
        try:
            outcomes.append(qemu.start(vm, host, op=op))
        except VxError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    kinds = sorted(type(outcome).__name__ for outcome in outcomes)
    assert kinds == ["MachineBusy", "MachineBusy", "Started"]
    assert qemu.find(vm.layout) is not None


def test_a_qemu_that_is_just_starting_keeps_a_second_one_out(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    """As left by a vx killed at the wrong moment: the pid file is locked, its number not there."""
    vm = make()
    process = started(qemu, vm, host, op).process
    vm.layout.process.unlink()
    pid = vm.layout.pid_file.read_bytes()
    os.truncate(vm.layout.pid_file, 0)

    with pytest.raises(MachineBusy, match="being started"):
        qemu.start(vm, host, op=op)

    vm.layout.pid_file.write_bytes(pid)
    assert qemu.find(vm.layout) == process


def test_a_reboot_inside_the_guest_keeps_the_process(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make()
    process = started(qemu, vm, host, op).process

    tell_guest(vm, b"r")
    wait_for(lambda: vm.layout.console_log.read_bytes().count(HELLO) == 2)

    assert qemu.find(vm.layout) == process


def test_the_console_of_the_last_run_is_kept_once(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make()
    for keys in (b"one", b"two"):
        started(qemu, vm, host, op)
        tell_guest(vm, keys)
        qemu.stop(vm.layout, grace_s=20, ask_guest=None, op=op)

    assert vm.layout.previous_console_log.read_bytes() == HELLO + b"one"
    assert vm.layout.console_log.read_bytes() == HELLO + b"two"


# --- ports -----------------------------------------------------------------------------------


def test_a_taken_port_is_replaced_by_the_next_and_said_so(
    qemu: Qemu, host: HostFacts, op: Op, recorder: Recorder, make: Callable[..., VmSpec]
) -> None:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]

        answer = qemu.start(make(forwards=(Forward(guest=80, host=taken),)), host, op=op)

    (forward,) = answer.forwards
    assert taken < forward.host <= taken + 100
    (note,) = recorder.texts
    assert f"Host port {taken} is taken by" in note
    assert f"(pid {os.getpid()})" in note
    assert f"127.0.0.1:{forward.host}" in note


def test_a_taken_udp_port_is_replaced_too(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        taken = receiver.getsockname()[1]
        forward = Forward(guest=53, host=taken, proto="udp")

        (moved,) = qemu.start(make(forwards=(forward,)), host, op=op).forwards

    assert taken < moved.host <= taken + 100


def test_a_taken_port_that_may_not_move_names_its_holder_and_nothing_runs(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make(forwards=(Forward(guest=80, host=0),))
    first = qemu.start(vm, host, op=op)
    taken = first.forwards[0].host
    second = make("db", forwards=(Forward(guest=80, host=taken, auto=False),))

    with pytest.raises(PortTaken, match=rf"held by machine web \(pid {first.process.pid}\)"):
        qemu.start(second, host, op=op)

    assert qemu.find(second.layout) is None
    assert leftovers(second) == set()


def test_two_machines_may_want_one_port(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    wanted = qemu.start(make(forwards=(Forward(guest=80, host=0),)), host, op=op).forwards[0].host
    ports: list[int] = [wanted]

    for name in ("db", "cache"):
        vm = make(name, forwards=(Forward(guest=80, host=wanted),))
        ports.append(qemu.start(vm, host, op=op).forwards[0].host)

    assert len(set(ports)) == 3


def test_two_forwards_of_one_machine_may_want_one_port(
    qemu: Qemu, host: HostFacts, op: Op, recorder: Recorder, make: Callable[..., VmSpec]
) -> None:
    port = free_port()
    forwards = (Forward(guest=80, host=port), Forward(guest=81, host=port))

    answer = qemu.start(make(ssh_port=port, forwards=forwards), host, op=op)

    assert answer.forwards[0].host == port
    assert len({port_of(answer), *(f.host for f in answer.forwards)}) == 3
    assert all("wanted twice" in text for text in recorder.texts)
    assert len(recorder.texts) == 2


def test_the_ssh_port_of_an_earlier_boot_is_used_again_while_it_is_free(
    qemu: Qemu, host: HostFacts, op: Op, recorder: Recorder, make: Callable[..., VmSpec]
) -> None:
    port = port_of(qemu.start(make(), host, op=op))
    qemu.stop(make().layout, grace_s=0, ask_guest=None, op=op)

    assert port_of(qemu.start(make(ssh_port=port), host, op=op)) == port

    other = port_of(qemu.start(make("db", ssh_port=port), host, op=op))

    assert other not in (0, port)
    assert f"ssh is at 127.0.0.1:{other}" in recorder.texts[-1]


def test_an_ssh_port_the_user_fixed_is_an_error_when_taken(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    port = port_of(qemu.start(make(), host, op=op))

    with pytest.raises(PortTaken, match="wanted for ssh of db, is held by machine web") as caught:
        qemu.start(make("db", ssh_port=port, ssh_port_fixed=True), host, op=op)

    assert "[ssh]" in caught.value.hint


def test_an_address_of_another_host_is_an_error(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make(forwards=(Forward(guest=80, host=8080, host_ip="192.0.2.1"),))

    with pytest.raises(ProviderError, match=r"192\.0\.2\.1 is no address of this host"):
        qemu.start(vm, host, op=op)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may take any port")
def test_a_port_reserved_for_root_is_moved_or_refused(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    reserved = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not reserved.exists() or int(reserved.read_text()) <= 81:
        pytest.skip("this system lets everyone take port 81")

    (moved,) = qemu.start(make(forwards=(Forward(guest=80, host=81),)), host, op=op).forwards

    assert 8081 <= moved.host < 8181
    with pytest.raises(PortTaken, match="reserved for root"):
        qemu.start(make("db", forwards=(Forward(guest=80, host=81, auto=False),)), host, op=op)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- stopping --------------------------------------------------------------------------------


def test_a_guest_that_ignores_its_button_is_asked(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make(guest=DEAF_GUEST)
    started(qemu, vm, host, op)

    outcome = qemu.stop(vm.layout, grace_s=10, ask_guest=lambda: tell_guest(vm, b"q"), op=op)

    assert outcome is StopOutcome.SHUT_DOWN
    assert leftovers(vm) == set()


def test_a_guest_that_ignores_everything_is_forced_off_when_its_time_is_up(
    qemu: Qemu, host: HostFacts, op: Op, recorder: Recorder, make: Callable[..., VmSpec]
) -> None:
    vm = make(guest=DEAF_GUEST)
    started(qemu, vm, host, op)

    def ask() -> None:
        raise SSHError("no route to it")

    began = time.monotonic()
    outcome = qemu.stop(vm.layout, grace_s=1.5, ask_guest=ask, op=op)

    assert outcome is StopOutcome.FORCED
    assert 1.4 < time.monotonic() - began < 10
    assert any("no route to it" in text for text in recorder.texts)
    assert leftovers(vm) == set()


def test_an_ssh_that_hangs_does_not_hold_up_the_end(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make(guest=DEAF_GUEST)
    started(qemu, vm, host, op)
    over = threading.Event()

    began = time.monotonic()
    outcome = qemu.stop(vm.layout, grace_s=1, ask_guest=lambda: over.wait(60), op=op)

    assert outcome is StopOutcome.FORCED
    assert time.monotonic() - began < 10
    over.set()


def test_without_grace_the_power_is_cut_at_once(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make()
    qemu.start(vm, host, op=op)

    began = time.monotonic()
    outcome = qemu.stop(vm.layout, grace_s=0, ask_guest=None, op=op)

    assert outcome is StopOutcome.FORCED
    assert time.monotonic() - began < 1
    assert leftovers(vm) == set()


def test_a_paused_guest_hears_its_button(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make()
    started(qemu, vm, host, op)
    with Qmp(vm.layout.qmp_socket, timeout_s=5) as qmp:
        qmp.execute("stop")
    assert qemu.details(vm.layout)["status"] == "paused"

    assert qemu.stop(vm.layout, grace_s=20, ask_guest=None, op=op) is StopOutcome.SHUT_DOWN


def test_a_qemu_that_hangs_itself_is_killed(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make()
    process = qemu.start(vm, host, op=op).process
    os.kill(process.pid, signal.SIGSTOP)

    assert qemu.details(vm.layout) == {}
    outcome = qemu.stop(vm.layout, grace_s=1, ask_guest=None, op=op)

    assert outcome is StopOutcome.FORCED
    assert not proc.is_alive(process)
    assert leftovers(vm) == set()


def test_breaking_off_a_halt_leaves_a_machine_that_can_be_halted(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make(guest=DEAF_GUEST)
    answer = started(qemu, vm, host, op)
    threading.Timer(0.3, op.cancel.set).start()

    with pytest.raises(Cancelled):
        qemu.stop(vm.layout, grace_s=60, ask_guest=None, op=op)

    assert qemu.find(vm.layout) == answer.process
    assert qemu.addresses(vm.layout).addresses == (answer.address,)
    again = Op(Recorder(), Cancel(), "web")
    assert qemu.stop(vm.layout, grace_s=0, ask_guest=None, op=again) is StopOutcome.FORCED


# --- kills -----------------------------------------------------------------------------------


def test_the_machine_survives_the_vx_that_started_it_and_its_terminal(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec], tmp_path: Path
) -> None:
    vm = make()
    arguments = tmp_path / "arguments.py"
    arguments.write_text(starter_of(vm, host))
    leader, follower = os.openpty()
    with subprocess.Popen(
        [sys.executable, str(arguments)],
        stdin=follower,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"started\n"
        process = qemu.find(vm.layout)
        assert process is not None

        os.killpg(child.pid, signal.SIGHUP)
        child.kill()
    os.close(leader)
    os.close(follower)

    time.sleep(0.3)
    assert qemu.find(vm.layout) == process
    assert qemu.stop(vm.layout, grace_s=20, ask_guest=None, op=op) is StopOutcome.SHUT_DOWN


def starter_of(vm: VmSpec, host: HostFacts) -> str:
    """A program that starts ``vm`` and then waits to be killed."""
    return f"""
import time
from pathlib import Path
from vagrantish.events import Cancel, Op
from vagrantish.model import QemuOptions, VmSpec
from vagrantish.paths import MachineLayout, VxHome
from vagrantish.provider.base import HostFacts
from vagrantish.provider.qemu.provider import Qemu

class Silent:
    def emit(self, event): pass

vm = VmSpec(
    id="web", name="web", uuid={vm.uuid!r}, arch="x86_64", cpus=1, memory_bytes={vm.memory_bytes},
    kernel=Path({str(vm.kernel)!r}), initrd=None, cmdline="", disks=(), mac={vm.mac!r},
    ssh_port=0, ssh_port_fixed=False, forwards=(), cpu_level="x86-64-v1", qemu=QemuOptions(),
    layout=MachineLayout(Path({str(vm.layout.directory)!r})),
)
host = HostFacts(program={host.program!r}, version={host.version!r}, accel="tcg")
home = VxHome(Path({str(vm.layout.directory.parent.parent)!r}))
Qemu(home).start(vm, host, op=Op(Silent(), Cancel()))
print("started", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("delay_s", [0.02, 0.04, 0.06, 0.1])
def test_a_vx_killed_while_it_starts_a_machine_can_be_followed_by_another(
    qemu: Qemu,
    host: HostFacts,
    op: Op,
    make: Callable[..., VmSpec],
    tmp_path: Path,
    delay_s: float,
) -> None:
    vm = make()
    program = tmp_path / "start.py"
    program.write_text(starter_of(vm, host))
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.DEVNULL) as child:
        wait_for(vm.layout.start_lock.exists)
        time.sleep(delay_s)
        child.kill()
    time.sleep(0.3)

    if qemu.find(vm.layout) is None:
        qemu.start(vm, host, op=op)

    assert qemu.addresses(vm.layout).addresses
    running.mark_ready(vm.layout)
    assert running.is_ready(vm.layout)
    assert qemu.stop(vm.layout, grace_s=20, ask_guest=None, op=op) is not StopOutcome.NOT_RUNNING
    assert leftovers(vm) == set()


def test_a_machine_vx_had_no_time_to_note_keeps_its_ports(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    port = free_port()
    vm = make(
        forwards=(
            Forward(guest=80, host=0),
            Forward(guest=22, host=port),
            Forward(guest=53, host=0, proto="udp"),
        )
    )
    answer = qemu.start(vm, host, op=op)
    vm.layout.process.unlink()

    assert qemu.find(vm.layout) == answer.process
    assert qemu.addresses(vm.layout).addresses == (answer.address,)
    assert running.forwards(vm.layout) == answer.forwards


def test_a_killed_qemu_is_noticed_and_the_machine_starts_again(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make()
    process = started(qemu, vm, host, op).process
    running.mark_ready(vm.layout)
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not proc.is_alive(process))

    assert qemu.find(vm.layout) is None
    assert qemu.addresses(vm.layout).addresses == ()

    again = started(qemu, vm, host, op).process

    assert again != process
    assert qemu.find(vm.layout) == again
    assert not running.is_ready(vm.layout)
    assert vm.layout.previous_console_log.read_bytes() == HELLO


def test_halting_after_a_kill_sweeps_what_was_left(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make()
    process = qemu.start(vm, host, op=op).process
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not proc.is_alive(process))
    assert leftovers(vm) != set()

    assert qemu.stop(vm.layout, grace_s=5, ask_guest=None, op=op) is StopOutcome.NOT_RUNNING
    assert leftovers(vm) == set()


# --- what cannot start -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guest": b"no kernel at all\n" * 100}, "is not a Linux kernel QEMU can boot"),
        ({"kernel": Path("/nowhere/vmlinuz")}, "cannot read the kernel /nowhere/vmlinuz"),
        ({"initrd": Path("/nowhere/initrd")}, "cannot read the initrd /nowhere/initrd"),
        ({"qemu": QemuOptions(cpu="z80")}, "knows no processor z80"),
        ({"qemu": QemuOptions(machine="pdp11")}, "knows no machine type pdp11"),
        ({"qemu": QemuOptions(extra_args=("-nonesuch",))}, "-nonesuch"),
        ({"cpus": 9999}, "wants 9999 processors"),
        ({"memory_bytes": 900 * TIB}, "cannot give machine web"),
        (
            {"disks": (Disk(path=Path("/nowhere/d"), format="qcow2", serial="x"),)},
            "cannot open the disk /nowhere/d",
        ),
        (
            {"disks": (Disk(path=Path(__file__), format="qcow2", serial="x", readonly=True),)},
            "is not in qcow2 format",
        ),
    ],
)
def test_what_qemu_refuses_is_one_clear_error_and_leaves_nothing(
    qemu: Qemu,
    host: HostFacts,
    op: Op,
    make: Callable[..., VmSpec],
    changes: dict[str, object],
    message: str,
) -> None:
    vm = make(**changes)

    with pytest.raises(ProviderError, match=re.escape(message)) as caught:
        qemu.start(vm, host, op=op)

    assert caught.value.hint
    assert qemu.find(vm.layout) is None
    assert leftovers(vm) == set()


def test_a_disk_another_machine_writes_to_is_refused(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec], tmp_path: Path
) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(b"\0" * MIB)
    disks = (Disk(path=image, format="raw", serial="vx-root"),)
    qemu.start(make(disks=disks), host, op=op)

    with pytest.raises(ProviderError, match="in use by another process"):
        qemu.start(make("db", disks=disks), host, op=op)


def test_more_memory_than_the_host_has_is_warned_of(
    qemu: Qemu, host: HostFacts, op: Op, recorder: Recorder, make: Callable[..., VmSpec]
) -> None:
    vm = make(memory_bytes=900 * TIB)

    with pytest.raises(ProviderError, match="cannot give"):
        qemu.start(vm, host, op=op)

    assert "this host has only" in recorder.texts[0]


# --- acceleration ----------------------------------------------------------------------------


def is_kvm_a_sham() -> bool:
    """/dev/kvm opens, though no processor here can virtualise: it is emulated."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
        flags = Path("/proc/cpuinfo").read_bytes().split()
    except OSError:
        return False
    return b"vmx" not in flags and b"svm" not in flags


def test_the_timed_probe_accepts_what_really_works() -> None:
    """TCG stands in for good KVM, with more time than KVM would get: the machine may be busy."""
    assert accel.timed_probe(PROGRAM, "tcg", limit_s=20) == ""


@pytest.mark.skipif(not is_kvm_a_sham(), reason="there is no emulated /dev/kvm here")
def test_the_timed_probe_rejects_a_kvm_that_opens_but_is_emulated() -> None:
    reason = accel.timed_probe(PROGRAM, "kvm")

    assert "a 20-million-turn loop did not finish in 0.5 s" in reason
    assert "slower than software" in reason


@pytest.mark.skipif(not is_kvm_a_sham(), reason="there is no emulated /dev/kvm here")
def test_where_kvm_is_emulated_tcg_is_used_and_the_reason_given(qemu: Qemu, op: Op) -> None:
    facts = qemu.probe(QemuOptions(), op=op)

    assert facts.accel == "tcg"
    assert "KVM is not used: this processor shows no vmx or svm" in facts.notes[0]


@pytest.mark.skipif(not is_kvm_a_sham(), reason="there is no emulated /dev/kvm here")
def test_kvm_asked_for_where_it_is_emulated_is_an_error_with_the_reason(qemu: Qemu, op: Op) -> None:
    with pytest.raises(ProviderError, match="KVM cannot be used: this processor shows no vmx"):
        qemu.probe(QemuOptions(accel="kvm"), op=op)


def test_acceleration_that_fails_at_the_start_gives_way_to_emulation(
    qemu: Qemu,
    host: HostFacts,
    op: Op,
    recorder: Recorder,
    home: VxHome,
    make: Callable[..., VmSpec],
    tmp_path: Path,
) -> None:
    wrapper = tmp_path / "qemu-system-x86_64"
    wrapper.write_text(
        '#!/bin/sh\ncase " $* " in *" -accel kvm "*)\n'
        "  echo 'qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69' >&2; kill -6 $$;;\n"
        f'esac\nexec {PROGRAM} "$@"\n'
    )
    wrapper.chmod(0o755)
    vm = make()

    started(qemu, vm, replace(host, program=str(wrapper), accel="kvm"), op)

    assert qemu.details(vm.layout)["accel"] == "tcg"
    assert "KVM failed as machine web was started" in recorder.texts[0]
    assert "failed to set MSR" in (home.host / "accel.json").read_text()


# --- the console -----------------------------------------------------------------------------


def test_the_console_can_be_talked_to_through_a_pipe(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make()
    started(qemu, vm, host, op)
    source, answer = os.pipe(), os.pipe()
    os.write(source[1], b"echo me")
    os.close(source[1])

    console.attach(vm.layout, stdin_fd=source[0], stdout_fd=answer[1], op=op)

    assert os.read(answer[0], 100) == b"echo me"
    assert vm.layout.console_log.read_bytes() == HELLO + b"echo me"
    for descriptor in (source[0], *answer):
        os.close(descriptor)


def test_another_program_at_the_console_is_seen(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make()
    started(qemu, vm, host, op)
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(str(vm.layout.console_socket))
        other.sendall(b"x")
        assert other.recv(1) == b"x"

        with pytest.raises(MachineBusy, match="in use by another terminal"):
            console.attach(vm.layout, stdin_fd=0, stdout_fd=1, op=op)


def test_powering_off_ends_the_attached_console(
    qemu: Qemu, host: HostFacts, op: Op, make: Callable[..., VmSpec]
) -> None:
    vm = make()
    started(qemu, vm, host, op)
    source, answer = os.pipe(), os.pipe()
    os.write(source[1], b"q")

    console.attach(vm.layout, stdin_fd=source[0], stdout_fd=answer[1], op=op)

    wait_for(lambda: qemu.find(vm.layout) is None)
    for descriptor in (*source, *answer):
        os.close(descriptor)
