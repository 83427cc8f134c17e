"""The providers xhyve and hyperkit with the double, whose guest follows a script."""

from __future__ import annotations

import os
import shlex
import stat
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.fakes.hyve.install import install
from tests.fakes.hyve.trying import bzimage
from tests.fakes.supervised import Quiet, wait_for
from vagrantish import proc
from vagrantish.errors import HostError, MachineBusy, ProviderError
from vagrantish.events import Cancel, Op
from vagrantish.model import Disk, QemuOptions, VmSpec, XhyveOptions
from vagrantish.paths import VxHome
from vagrantish.provider import running
from vagrantish.provider.base import StopOutcome, UuidRefused
from vagrantish.provider.supervisor.holders import is_run_of
from vagrantish.provider.xhyve import sudo
from vagrantish.provider.xhyve.provider import Hyperkit, Xhyve
from vagrantish.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vagrantish.provider.base import HostFacts

OP = Op(Quiet(), Cancel(), "web")
NEED = sudo.to_start("xhyve", "The ways.")


@pytest.fixture
def xhyve(
    vx_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., VmSpec]]:
    """Makes a machine whose guest follows a script; what is left of it ends with the test."""
    made: list[VmSpec] = []
    monkeypatch.setenv("VX_HOME", str(vx_home))
    monkeypatch.setenv("FAKE_XHYVE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("FAKE_XHYVE_ROOT", "1")
    monkeypatch.setenv("FAKE_XHYVE_BOOT", "0")

    def make(script: str = "acpi;say:up", number: int = 1, **changes: object) -> VmSpec:
        monkeypatch.setenv("FAKE_XHYVE_SCRIPT", script)
        kernel = tmp_path / "vmlinuz"
        kernel.write_bytes(bzimage())
        options = XhyveOptions(binary=str(install(tmp_path / "bin")))
        vm = VmSpec(
            id=f"m{number}",
            name="web",
            uuid=str(uuid.uuid4()),
            arch="x86_64",
            cpus=1,
            memory_bytes=64 * MIB,
            kernel=kernel,
            initrd=None,
            cmdline="console=ttyS0",
            disks=(),
            mac="",
            ssh_port=0,
            ssh_port_fixed=False,
            forwards=(),
            cpu_level="x86-64-v1",
            qemu=QemuOptions(),
            xhyve=options,
            layout=VxHome(vx_home).machine(f"m{number}"),
        )
        made.append(replace(vm, **changes))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for vm in made:
        Xhyve(VxHome(vx_home)).stop(vm.layout, grace_s=0, ask_guest=None, op=OP)


@pytest.fixture
def provider(vx_home: Path) -> Xhyve:
    return Xhyve(VxHome(vx_home))


def host_of(provider: Xhyve, vm: VmSpec) -> HostFacts:
    return provider.probe(vm.xhyve, op=OP)


def sudo_in(folder: Path, body: str) -> str:
    """A sudo of that body; answers the PATH on which it comes first."""
    folder.mkdir()
    program = folder / "sudo"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_probing_tells_its_kind_and_version(
    provider: Xhyve, xhyve: Callable[..., VmSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = xhyve()

    host = host_of(provider, vm)

    assert host.program == vm.xhyve.binary
    assert (host.flavour, host.version, host.accel) == ("head", "0.2.0-164-gdfbe09b", "xhyve")


def test_a_program_that_is_not_it_is_said(provider: Xhyve, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="is not a working xhyve"):
        provider.probe(XhyveOptions(binary="/bin/true"), op=OP)
    with pytest.raises(HostError, match="is not there"):
        provider.probe(XhyveOptions(binary=str(tmp_path / "none")), op=OP)
    assert "is not there" in provider.missing(XhyveOptions(binary=str(tmp_path / "none")))


def test_the_mac_is_learnt_before_the_first_start_without_a_kernel(
    provider: Xhyve, xhyve: Callable[..., VmSpec], tmp_path: Path
) -> None:
    vm = xhyve(
        kernel=tmp_path / "none", disks=(Disk(path=tmp_path / "x", format="raw", serial=""),)
    )
    host = host_of(provider, vm)

    mac = provider.learn_mac(vm, host, op=OP)

    assert mac.endswith(":cf:32")
    assert provider.learn_mac(vm, host, op=OP) == mac


def test_a_uuid_vmnet_refuses_is_told_from_one_that_is_in_use(
    provider: Xhyve, xhyve: Callable[..., VmSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = xhyve()
    host = host_of(provider, vm)
    provider.start(vm, host, op=OP)

    with pytest.raises(MachineBusy, match="already running"):
        provider.learn_mac(vm, host, op=OP)

    provider.stop(vm.layout, grace_s=0, ask_guest=None, op=OP)
    monkeypatch.setenv("FAKE_XHYVE_FAIL", "vmnet")
    with pytest.raises(UuidRefused):
        provider.learn_mac(vm, host, op=OP)


def test_paths_with_commas_go_by_links(
    provider: Xhyve, xhyve: Callable[..., VmSpec], tmp_path: Path
) -> None:
    odd = tmp_path / "a,b c"
    odd.mkdir()
    kernel, disk = odd / "vm,linuz", odd / "disk,1.img"
    kernel.write_bytes(bzimage())
    disk.write_bytes(bytes(1 << 20))
    vm = xhyve(kernel=kernel, disks=(Disk(path=disk, format="raw", serial="vx-root"),))

    started = provider.start(vm, host_of(provider, vm), op=OP)

    assert "a,b" not in shlex.join(proc.arguments(started.process.pid))


def test_what_xhyve_refuses_is_told_with_its_fix(
    provider: Xhyve, xhyve: Callable[..., VmSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = xhyve()
    host = host_of(provider, vm)
    monkeypatch.setenv("FAKE_XHYVE_FAIL", "vmnet")

    with pytest.raises(ProviderError) as failed:
        provider.start(vm, host, op=OP)

    assert "vmnet interface" in failed.value.message
    assert failed.value.hint
    ending = provider.ending(vm.layout)
    assert ending is not None
    assert ending.status == 1


def test_two_machines_cannot_share_a_disk(
    provider: Xhyve, xhyve: Callable[..., VmSpec], tmp_path: Path
) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    disks = (Disk(path=disk, format="raw", serial="vx-root"),)
    first, second = xhyve(disks=disks), xhyve(number=2, disks=disks)
    host = host_of(provider, first)
    provider.start(first, host, op=OP)

    with pytest.raises(MachineBusy, match="in use by another machine"):
        provider.start(second, host, op=OP)


def test_one_that_another_vx_home_runs_is_busy(
    provider: Xhyve, xhyve: Callable[..., VmSpec], vx_home: Path
) -> None:
    vm = xhyve()
    host = host_of(provider, vm)
    provider.start(vm, host, op=OP)
    elsewhere = replace(vm, layout=VxHome(vx_home / "other").machine("m1"))

    with pytest.raises(MachineBusy, match="already running"):
        provider.start(elsewhere, host, op=OP)


def test_a_guest_that_heeds_its_button_shuts_down_and_one_that_does_not_is_forced(
    provider: Xhyve, xhyve: Callable[..., VmSpec]
) -> None:
    vm = xhyve("acpi;say:up")
    host = host_of(provider, vm)
    provider.start(vm, host, op=OP)
    assert provider.stop(vm.layout, grace_s=20, ask_guest=None, op=OP) is StopOutcome.SHUT_DOWN

    xhyve("deaf;say:up")
    provider.start(vm, host, op=OP)
    assert provider.stop(vm.layout, grace_s=0.5, ask_guest=None, op=OP) is StopOutcome.FORCED


def test_hyperkit_starts_with_its_own_statuses(
    xhyve: Callable[..., VmSpec], vx_home: Path, tmp_path: Path
) -> None:
    provider = Hyperkit(VxHome(vx_home))
    options = XhyveOptions(binary=str(install(tmp_path / "bin", "hyperkit")))
    vm = xhyve("say:up;poweroff@0.3", hyperkit=options)
    host = provider.probe(options, op=OP)

    provider.start(vm, host, op=OP)

    wait_for(lambda: running.find(vm.layout) is None)
    ending = provider.ending(vm.layout)
    assert ending is not None
    assert (host.flavour, ending.kind, ending.status) == ("hyperkit", "powered-off", 0)


def test_nothing_of_the_machine_becomes_anybody_elses(
    provider: Xhyve, xhyve: Callable[..., VmSpec]
) -> None:
    vm = xhyve()
    provider.start(vm, host_of(provider, vm), op=OP)

    for path in vm.layout.directory.iterdir():
        found = path.lstat()
        assert found.st_uid == os.getuid()
        if path.name != "start.lock":
            assert not stat.S_IMODE(found.st_mode) & 0o077, path


# --- sudo ------------------------------------------------------------------------------------


def test_a_sudo_that_asks_for_nothing_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", sudo_in(tmp_path / "p", "exit 0"))

    sudo.obtain(NEED, stdin_fd=None, op=OP)


@pytest.mark.parametrize("has_stdin", [True, False])
def test_where_nobody_can_type_a_password_it_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_stdin: bool
) -> None:
    monkeypatch.setenv("PATH", sudo_in(tmp_path / "p", "exit 1"))

    with open(os.devnull, encoding="ascii") as nothing, pytest.raises(ProviderError) as failed:
        sudo.obtain(NEED, stdin_fd=nothing.fileno() if has_stdin else None, op=OP)

    assert "sudo -v" in failed.value.hint
    assert "The ways." in failed.value.hint


def test_a_sudo_that_remembers_no_password_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", sudo_in(tmp_path / "p", '[ "$1" != -n ]'))
    master, slave = os.openpty()

    with pytest.raises(ProviderError, match="does not remember it") as failed:
        sudo.obtain(NEED, stdin_fd=slave, op=OP)

    os.close(master)
    os.close(slave)
    assert failed.value.hint == "The ways."


def test_at_a_terminal_sudo_asks_itself_and_vx_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, quiet = tmp_path / "asked", Quiet()
    body = f'if [ "$1" = -n ]; then test -e {asked}; exit; fi\ntest -t 0 && touch {asked}'
    monkeypatch.setenv("PATH", sudo_in(tmp_path / "p", body))
    master, slave = os.openpty()

    sudo.obtain(NEED, stdin_fd=slave, op=Op(quiet, Cancel(), "web"))

    os.close(master)
    os.close(slave)
    assert asked.exists()
    assert "password" in str(quiet.events)


def test_with_a_ticket_the_supervisor_stays_in_the_terminals_session(
    provider: Xhyve,
    xhyve: Callable[..., VmSpec],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vm = xhyve()
    host = replace(host_of(provider, vm), privilege="sudo-ticket")
    monkeypatch.setenv("PATH", sudo_in(tmp_path / "p", '[ "$2" = -v ] && exit 0\nshift\n"$@"'))

    provider.start(vm, host, op=OP)

    supervisor = running.find_supervisor(vm.layout)
    assert supervisor is not None
    assert os.getsid(supervisor.pid) == os.getsid(0)
    assert os.getpgid(supervisor.pid) != os.getpgid(0)
    os.kill(supervisor.pid, 1)
    # Until then it may be this sudo, a script that passes no signal on.
    wait_for(lambda: is_run_of("xhyve", hypervisor_words(vm)))
    wait_for(lambda: vm.layout.console_log.exists() and vm.layout.console_log.stat().st_size > 0)
    assert provider.stop(vm.layout, grace_s=20, ask_guest=None, op=OP) is StopOutcome.SHUT_DOWN


def hypervisor_words(vm: VmSpec) -> tuple[str, ...]:
    process = running.find_hypervisor(vm.layout)
    return proc.arguments(process.pid) if process is not None else ()
