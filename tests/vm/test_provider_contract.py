"""What every provider owes vx, shown with a real guest: one machine each, in the order of its life."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.applevz.install import install as install_vfkit
from tests.fakes.beehive.install import install as install_bhyve
from tests.fakes.contract import Case, Machine, kill, machine_of, supervisor_of, wait_for
from tests.fakes.guest import MISSING
from tests.fakes.hyve.install import install
from vagrantish import paths, proc
from vagrantish.box.store import BoxStore
from vagrantish.diagnosis.endings import EndingKind
from vagrantish.errors import MachineBusy, ProviderError
from vagrantish.model import BhyveOptions, BoxRef, QemuOptions, VfkitOptions, XhyveOptions
from vagrantish.provider import console, running
from vagrantish.provider.base import StopOutcome
from vagrantish.provider.bhyve.provider import Bhyve
from vagrantish.provider.qemu.provider import Qemu
from vagrantish.provider.vfkit.provider import Vfkit
from vagrantish.provider.xhyve.provider import Hyperkit, Xhyve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SSH_PORT = 22 if os.geteuid() == 0 else 20022


def xhyve_case(name: str, table: str, flavour: str) -> Case:
    def options(folder: Path) -> XhyveOptions:
        program = install(folder / "bin", table)
        return XhyveOptions(binary=str(program), leases=str(folder / "state" / "dhcpd_leases"))

    def env(folder: Path) -> dict[str, str]:
        return {
            "FAKE_XHYVE_STATE": str(folder / "state"),
            "FAKE_XHYVE_ROOT": "1",
            "FAKE_XHYVE_FLAVOUR": flavour,
            "FAKE_XHYVE_SSH_PORT": str(SSH_PORT),
        }

    kind: Callable[[paths.VxHome], Any] = Hyperkit if table == "hyperkit" else Xhyve
    return Case(name=name, make=kind, options=options, table=table, env=env)


def vfkit_options(folder: Path) -> VfkitOptions:
    leases = folder / "state" / "dhcpd_leases"
    settings = {
        "FAKE_VFKIT_STATE": str(folder / "state"),
        "FAKE_VFKIT_LEASES": str(leases),
        "FAKE_VFKIT_SSH_PORT": str(SSH_PORT),
    }
    return VfkitOptions(
        binary=str(install_vfkit(folder / "bin", settings=settings)), leases=str(leases)
    )


def bhyve_options(folder: Path) -> BhyveOptions:
    leases = folder / "state" / "dnsmasq.leases"
    settings = {"FAKE_BHYVE_STATE": str(folder / "state"), "FAKE_BHYVE_LEASES": str(leases)}
    return BhyveOptions(binary=str(install_bhyve(folder / "bin", settings)), leases=str(leases))


CASES = (
    Case(
        name="qemu",
        make=Qemu,
        options=lambda _folder: QemuOptions(accel="tcg"),
        table="qemu",
        supervised=False,
    ),
    xhyve_case("xhyve", "xhyve", "head"),
    xhyve_case("xhyve v0.2.0", "xhyve", "v0.2.0"),
    xhyve_case("hyperkit", "hyperkit", "hyperkit"),
    Case(
        name="vfkit",
        make=Vfkit,
        options=vfkit_options,
        table="vfkit",
        joins_console=False,
        refuses_kernel="failed to start",
    ),
    Case(
        name="bhyve",
        make=Bhyve,
        options=bhyve_options,
        table="bhyve",
        refuses_kernel="grub-bhyve",
        missing="" if os.geteuid() == 0 else "root",
    ),
)

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(MISSING is not None, reason=f"needs {MISSING}"),
]


class World:
    """A case with a home of its own; the environment is the test process's while it lasts."""

    def __init__(self, case: Case, homes: Path, store: Path, folder: Path) -> None:
        self.case = case
        self.home = paths.VxHome(Path(tempfile.mkdtemp(prefix="", dir=homes)))
        self._folder = folder
        box = BoxStore(paths.VxHome(store)).find(BoxRef(name="micro"), arch="x86_64")
        assert box is not None
        self._box = box
        self._machines: list[Machine] = []
        self._before = dict(os.environ)
        os.environ.update(case.env(folder), VX_HOME=str(self.home.root))

    def machine(self, name: str = "web") -> Machine:
        known = next((m for m in self._machines if m.vm.name == name), None)
        if known is not None:
            return known
        number = len(self._machines) + 1
        made = machine_of(self.case, self._box, self.home, self._folder, name=name, number=number)
        self._machines.append(made)
        return made

    def close(self) -> None:
        for machine in self._machines:
            machine.stop()
        os.environ.clear()
        os.environ.update(self._before)
        shutil.rmtree(self.home.root, ignore_errors=True)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(case, id=case.name, marks=pytest.mark.xdist_group(f"contract-{case.table}"))
        for case in CASES
    ],
)
def world(
    request: pytest.FixtureRequest,
    homes: Path,
    micro_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    case: Case = request.param
    if case.missing:
        pytest.skip(f"needs {case.missing}")
    world = World(case, homes, micro_store, tmp_path_factory.mktemp("contract"))
    yield world
    world.close()


@pytest.fixture
def web(world: World) -> Machine:
    """Up and reachable, as whatever test came before left it."""
    machine = world.machine()
    if machine.find() is None:
        machine.start()
        machine.await_ready()
    return machine


@pytest.fixture
def halted(world: World) -> Machine:
    machine = world.machine()
    machine.stop()
    return machine


def test_a_guest_starts_gets_an_address_and_takes_a_login(web: Machine) -> None:
    answer = web.ssh("cat /sys/class/net/eth0/address; hostname").stdout.split()

    # One that cannot tell the MAC beforehand left it open.
    assert answer == [web.vm.mac or answer[0], "web"]


def test_what_runs_is_what_argv_says(web: Machine) -> None:
    process = web.find()
    assert process is not None

    said = list(web.provider.argv(web.vm, web.host))

    runs = list(proc.arguments(process.pid))
    if web.case.supervised:
        assert runs[-len(said) :] == said
    else:
        assert runs[0] == said[0]
        assert runs[1 : said.index("-netdev")] == said[1 : said.index("-netdev")]


def test_its_state_is_found_and_told(web: Machine) -> None:
    process = web.find()

    assert process is not None
    assert proc.is_alive(process)
    assert web.provider.details(web.vm.layout)["status"] == "running"
    assert web.provider.ending(web.vm.layout) is None


def test_started_twice_it_is_busy(web: Machine) -> None:
    process = web.find()

    with pytest.raises(MachineBusy):
        web.start()

    assert web.find() == process


def test_the_console_is_logged_from_its_first_line_and_can_be_joined(web: Machine) -> None:
    assert "Linux version" in web.console
    if not web.case.joins_console:
        web.ssh("echo said by the guest | sudo tee /dev/console")
        wait_for(lambda: "said by the guest" in web.console, "the log lacks it")
        return

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(web.vm.layout.console_socket))
        client.settimeout(30)
        web.ssh("echo said by the guest | sudo tee /dev/console")
        heard = b""
        while b"said by the guest" not in heard:
            heard += client.recv(4096)

    wait_for(lambda: "said by the guest" in web.console, "the log lacks it")


def test_attached_as_vx_console_does_what_is_typed_arrives(web: Machine) -> None:
    if not web.case.joins_console:
        pytest.skip("its console is a log alone")
    reader, writer = os.pipe()
    typing, typed = os.pipe()
    os.write(typed, b"\r")
    os.close(typed)
    try:
        console.attach(web.vm.layout, stdin_fd=typing, stdout_fd=writer, op=web.op)
    finally:
        for descriptor in (reader, writer, typing):
            os.close(descriptor)

    assert web.find() is not None


def test_a_reboot_inside_the_guest_gives_the_same_machine_at_the_same_address(
    web: Machine,
) -> None:
    before, boot = web.address, web.ssh("cat /proc/sys/kernel/random/boot_id").stdout
    boots = web.console.count("vx: ready ssh")

    web.ssh("sudo reboot", check=False)
    web.await_ready(boots=boots + 1)

    assert web.address == before
    assert web.ssh("cat /proc/sys/kernel/random/boot_id").stdout != boot


def test_it_shuts_down_when_it_is_asked(web: Machine) -> None:
    outcome = web.stop(40, lambda: web.ssh("sudo poweroff", check=False))

    assert outcome is StopOutcome.SHUT_DOWN
    assert web.find() is None
    ending = web.provider.ending(web.vm.layout)
    if web.case.supervised:
        assert ending is not None
        assert ending.kind is EndingKind.POWERED_OFF
    assert "Power down" in web.console
    assert web.stop(40) is StopOutcome.NOT_RUNNING


def test_a_killed_hypervisor_is_seen_and_said(world: World, halted: Machine) -> None:
    machine = halted
    machine.start()

    kill(running.find_hypervisor(machine.vm.layout))

    wait_for(lambda: machine.find() is None, "it still counts as running")
    if world.case.supervised:
        ending = machine.provider.ending(machine.vm.layout)
        assert ending is not None
        assert ending.kind in (EndingKind.KILLED, EndingKind.FAILED_TO_START)
        assert ending.status == -9


def test_a_killed_supervisor_takes_nothing_with_it(world: World, halted: Machine) -> None:
    if not world.case.supervised:
        pytest.skip("it has none")
    machine = halted
    machine.start()

    kill(supervisor_of(machine))

    process = machine.find()
    assert process == running.find_hypervisor(machine.vm.layout)
    with pytest.raises(MachineBusy):
        machine.start()
    assert machine.stop() is StopOutcome.FORCED
    assert machine.find() is None


def test_a_kernel_that_is_none_fails_at_the_start_and_says_so(
    world: World, halted: Machine, tmp_path: Path
) -> None:
    machine = halted
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"\x7fELF" + bytes(100_000))

    with pytest.raises(ProviderError) as failed:
        machine.start(kernel=kernel)

    assert world.case.refuses_kernel in failed.value.message
    assert failed.value.hint
    assert machine.find() is None
    assert not machine.vm.layout.process.exists()


def test_of_two_starts_at_once_one_wins(world: World, halted: Machine) -> None:
    machine = halted
    results: list[object] = []

    def start() -> None:
        try:
            results.append(machine.start())
        except MachineBusy as error:
            results.append(error)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(isinstance(result, MachineBusy) for result in results) == 1
    assert machine.find() is not None


def test_two_machines_run_at_once_and_end_apart(world: World) -> None:
    first, second = world.machine(), world.machine("db")
    if first.find() is None:
        first.start()
    second.start()

    began = time.monotonic()
    assert first.stop() is StopOutcome.FORCED
    assert time.monotonic() - began < 30

    assert first.find() is None
    assert second.find() is not None
    assert second.stop() is StopOutcome.FORCED
