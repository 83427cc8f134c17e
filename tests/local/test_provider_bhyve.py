"""The bhyve provider over the stand-ins for bhyve and its company; the guest is acted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.beehive.install import install
from tests.fakes.hyve.trying import bzimage
from tests.fakes.recorder import Recorder
from vagrantish import proc
from vagrantish.diagnosis.endings import EndingKind
from vagrantish.errors import HostError, MachineBusy, ProviderError
from vagrantish.events import Cancel, Op
from vagrantish.model import Address, BhyveOptions, Disk, FbsdLoader, QemuOptions, VmSpec
from vagrantish.paths import VxHome
from vagrantish.provider import running
from vagrantish.provider.base import HostFacts, StopOutcome
from vagrantish.provider.bhyve import network
from vagrantish.provider.bhyve.argv import Programs, tap_name
from vagrantish.provider.bhyve.probe import privilege_of, programs_beside
from vagrantish.provider.bhyve.provider import Bhyve
from vagrantish.provider.supervisor.holders import holders
from vagrantish.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HANG_S = 30.0
ID = uuid.uuid4().hex[:8]  # strays are looked for on the whole host
TAP = tap_name(ID)


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
        layout = home.machine(folder.name)
        Bhyve(home).stop(layout, grace_s=0, ask_guest=None, op=Op(Recorder(), Cancel(), "web"))
    shutil.rmtree(home.root)


@pytest.fixture
def op() -> Op:
    return Op(Recorder(), Cancel(), "web")


@pytest.fixture
def bhyve(home: VxHome) -> Bhyve:
    return Bhyve(home)


@pytest.fixture
def vm(home: VxHome) -> VmSpec:
    layout = home.machine(ID)
    layout.directory.mkdir(parents=True)
    layout.kernel.write_bytes(bzimage())
    layout.disk.write_bytes(bytes(1 << 16))
    return VmSpec(
        id=ID,
        name="web",
        uuid=str(uuid.uuid4()),
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
        bhyve=BhyveOptions(leases=str(home.root / "dnsmasq.leases")),
    )


def scripted(home: VxHome, script: str, **more: str) -> HostFacts:
    """A host whose bhyve acts that guest."""
    settings = {"FAKE_BHYVE_BOOT": "0", "FAKE_BHYVE_SCRIPT": script, "FAKE_BHYVE_ROOT": "1",
                "FAKE_BHYVE_STATE": str(home.root / "state"), **more}  # fmt: skip
    program = install(home.root / "bin", settings)
    return HostFacts(program=str(program), version="14.1-RELEASE", accel="bhyve")


def interfaces(home: VxHome) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home.root / "state/interfaces.json").read_text())
    return found


def machine_is_left(home: VxHome) -> bool:
    return (home.root / f"state/vmm/vx-{ID}").exists()


def test_a_guest_starts_in_the_bridge_and_is_heard(
    bhyve: Bhyve, home: VxHome, vm: VmSpec, op: Op
) -> None:
    started = bhyve.start(vm, scripted(home, "acpi@0; say@0:hello"), op=op)

    assert proc.is_alive(started.process)
    assert bhyve.find(vm.layout) == started.process
    assert b"hello" in vm.layout.console_log.read_bytes()
    assert interfaces(home)["bridge0"]["members"] == [TAP]
    assert interfaces(home)[TAP]["up"] is True
    assert bhyve.details(vm.layout) == {"status": "running"}


def test_after_the_end_neither_machine_nor_interface_is_left(
    bhyve: Bhyve, home: VxHome, vm: VmSpec, op: Op
) -> None:
    bhyve.start(vm, scripted(home, "acpi@0; say@0:hello"), op=op)

    outcome = bhyve.stop(vm.layout, grace_s=HANG_S, ask_guest=None, op=op)

    assert outcome is StopOutcome.SHUT_DOWN
    ending = bhyve.ending(vm.layout)
    assert ending is not None
    assert (ending.kind, ending.status) == (EndingKind.POWERED_OFF, 1)
    assert not machine_is_left(home)
    assert list(interfaces(home)) == ["bridge0"]
    assert bhyve.stop(vm.layout, grace_s=1, ask_guest=None, op=op) is StopOutcome.NOT_RUNNING


def test_a_deaf_guest_is_cut_off_and_leaves_nothing(
    bhyve: Bhyve, home: VxHome, vm: VmSpec, op: Op
) -> None:
    started = bhyve.start(vm, scripted(home, "deaf@0; say@0:hello"), op=op)

    assert bhyve.stop(vm.layout, grace_s=0.5, ask_guest=None, op=op) is StopOutcome.FORCED

    assert not proc.is_alive(started.process)
    assert not machine_is_left(home)
    assert list(interfaces(home)) == ["bridge0"]


def test_a_reboot_loads_the_guest_again(bhyve: Bhyve, home: VxHome, vm: VmSpec, op: Op) -> None:
    bhyve.start(vm, scripted(home, "say@0:hello; reboot@1.5"), op=op)

    wait_for(lambda: vm.layout.console_log.read_bytes().count(b"hello") > 2)

    assert running.find(vm.layout) is not None
    assert machine_is_left(home)


def test_what_a_killed_run_left_is_no_obstacle(
    bhyve: Bhyve, home: VxHome, vm: VmSpec, op: Op
) -> None:
    host = scripted(home, "acpi@0; say@0:hello")
    started = bhyve.start(vm, host, op=op)
    supervisor = running.find_supervisor(vm.layout)
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    os.kill(started.process.pid, signal.SIGKILL)
    wait_for(lambda: running.find(vm.layout) is None)
    assert machine_is_left(home)
    assert TAP in interfaces(home)

    again = bhyve.start(vm, host, op=op)

    assert proc.is_alive(again.process)
    assert interfaces(home)["bridge0"]["members"] == [TAP]


def test_a_second_start_and_another_machine_on_the_disk_are_refused(
    bhyve: Bhyve, home: VxHome, vm: VmSpec, op: Op
) -> None:
    host = scripted(home, "acpi@0; say@0:hello")
    bhyve.start(vm, host, op=op)

    with pytest.raises(MachineBusy, match="already running"):
        bhyve.start(vm, host, op=op)
    with pytest.raises(MachineBusy, match="in use by another machine"):
        bhyve.start(replace(vm, id="11111111", layout=home.machine("11111111")), host, op=op)


def test_a_kernel_that_grub_cannot_load_is_the_error(
    bhyve: Bhyve, home: VxHome, vm: VmSpec, op: Op
) -> None:
    vm.layout.kernel.write_bytes(b"no kernel")

    with pytest.raises(ProviderError, match="grub-bhyve ended with status 1"):
        bhyve.start(vm, scripted(home, "poweroff"), op=op)

    assert "invalid magic number" in vm.layout.provider_log.read_text()
    assert bhyve.find(vm.layout) is None
    assert list(interfaces(home)) == ["bridge0"]


def test_freebsd_is_loaded_by_its_own_loader(
    bhyve: Bhyve, home: VxHome, vm: VmSpec, op: Op
) -> None:
    loads = FbsdLoader(userboot=None, volume=vm.layout.disk)

    bhyve.start(replace(vm, kernel=None, fbsd=loads), scripted(home, "say@0:login:"), op=op)

    loaded = json.loads((home.root / f"state/vmm/vx-{ID}").read_text())
    assert (loaded["loader"], loaded["cmdline"]) == ("bhyveload", "console=comconsole")


def test_a_tap_that_another_program_has_open_is_left_to_it(
    bhyve: Bhyve, home: VxHome, vm: VmSpec, op: Op
) -> None:
    host = scripted(home, "acpi@0; say@0:hello")
    state = home.root / "state"
    state.mkdir()
    theirs = {"up": True, "members": [], "pid": os.getpid()}
    ours = {"up": True, "members": [], "pid": 0}
    (state / "interfaces.json").write_text(json.dumps({"bridge0": ours, TAP: theirs}))

    bhyve.start(vm, host, op=op)

    assert interfaces(home)["bridge0"]["members"] == [tap_name(vm.id, 1)]


def test_a_bridge_that_is_not_there_is_the_error(
    bhyve: Bhyve, home: VxHome, vm: VmSpec, op: Op
) -> None:
    vm = replace(vm, bhyve=BhyveOptions(bridge="bridge9"))

    with pytest.raises(ProviderError, match="interface bridge9 does not exist"):
        bhyve.start(vm, scripted(home, "poweroff"), op=op)


def test_the_address_is_read_from_dnsmasqs_leases(
    bhyve: Bhyve, home: VxHome, vm: VmSpec, op: Op
) -> None:
    bhyve.start(vm, scripted(home, "acpi@0; say@0:hello"), op=op)
    assert bhyve.addresses(vm.layout).addresses == ()

    expiry = int(time.time()) + 3600
    (home.root / "dnsmasq.leases").write_text(f"{expiry} {vm.mac} 10.0.0.7 web *\n")

    found = network.candidates_of(vm.layout)
    assert found.addresses == (Address(host="10.0.0.7", port=22),)
    assert not found.certain


def test_a_bhyve_is_found_by_the_title_it_gives_itself() -> None:
    titled = subprocess.Popen(["bhyve: vx-7fb5d101", "60"], executable=shutil.which("sleep"))
    try:
        wait_for(lambda: holders("vx-7fb5d101", "bhyve"))

        assert [process.pid for process in holders("vx-7fb5d101", "bhyve")] == [titled.pid]
    finally:
        titled.kill()
        titled.wait()


def test_probing_tells_what_is_missing(home: VxHome, bhyve: Bhyve, op: Op) -> None:
    program = scripted(home, "").program
    options = BhyveOptions(binary=program)

    if os.geteuid() == 0:
        host = bhyve.probe(options, op=op)
        assert (host.program, host.privilege, host.accel) == (program, "", "bhyve")
        with pytest.raises(ProviderError, match="no bridge bridge9"):
            bhyve.probe(replace(options, bridge="bridge9"), op=op)
    assert bhyve.missing(options) == ""
    with pytest.raises(HostError, match="/no/bhyve, is not there"):
        bhyve.probe(BhyveOptions(binary="/no/bhyve"), op=op)
    with pytest.raises(ProviderError, match="need root"):
        privilege_of("never", Programs(), euid=1000)


SUDO = """#!/bin/sh
[ "$1" = -k ] && shift
[ "$1" = -n ] || exit 1
shift
echo "$@" >> "$(dirname "$0")/sudo.log"
exec "$@"
"""


def test_by_sudo_each_command_of_a_machine_is_roots(
    bhyve: Bhyve, home: VxHome, vm: VmSpec, op: Op, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = scripted(home, "acpi@0; say@0:hello")
    sudo = home.root / "bin/sudo"
    sudo.write_text(SUDO)
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sudo.parent}:{os.environ['PATH']}")
    programs = programs_beside(host.program)
    host = replace(host, privilege=privilege_of("auto", programs, euid=1000))

    started = bhyve.start(vm, host, op=op)
    assert bhyve.argv(vm, host)[:3] == ("sudo", "-n", host.program)
    assert bhyve.find(vm.layout) == started.process
    assert bhyve.stop(vm.layout, grace_s=HANG_S, ask_guest=None, op=op) is StopOutcome.SHUT_DOWN

    log = (home.root / "bin/sudo.log").read_text()
    ran = [Path(line.split()[0]).name for line in log.splitlines()]
    assert ran == [
        "bhyve", "ifconfig",  # what was asked of sudo beforehand
        "ifconfig", "ifconfig", "ifconfig", "bhyvectl", "grub-bhyve", "bhyve",
        "bhyvectl", "ifconfig",
    ]  # fmt: skip


def test_a_loader_that_is_not_installed_is_told(bhyve: Bhyve, home: VxHome, vm: VmSpec) -> None:
    host = scripted(home, "")
    assert bhyve.problems(vm, host) == ()

    (home.root / "bin/grub-bhyve").unlink()

    (problem,) = bhyve.problems(vm, host)
    assert (problem.message, problem.hint) == (
        "grub-bhyve is not on this host",
        "Install it: `pkg install grub2-bhyve`.",
    )
