"""bhyve: a guest in a bridge of the host, loaded anew before each start.

It is ended by asking the guest, by SIGTERM, which is the power button, and by SIGKILL; the
kernel's object of it is destroyed in any case.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from vagrantish.errors import Problem, ProviderError
from vagrantish.files import make_dir, write_atomic
from vagrantish.model import BootMode
from vagrantish.provider import running
from vagrantish.provider.base import Capabilities, HostFacts, Started
from vagrantish.provider.bhyve import argv as commands
from vagrantish.provider.bhyve import checks, network
from vagrantish.provider.bhyve import probe as probing
from vagrantish.provider.supervisor import ended, start, stop
from vagrantish.provider.supervisor.job import ConsoleKind, Hook, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vagrantish.diagnosis.endings import Ending
    from vagrantish.events import Op
    from vagrantish.model import BhyveOptions, Candidates, VmSpec
    from vagrantish.paths import MachineLayout, VxHome
    from vagrantish.proc import ProcessIdentity
    from vagrantish.provider.base import StopOutcome

_LOAD_S = 60.0
_COMMAND_S = 20.0


class Bhyve:
    name: ClassVar[str] = "bhyve"
    capabilities: ClassVar[Capabilities] = Capabilities(
        forwards_ports=False,
        disk_formats=("raw",),
        disk_serials=False,
        boot_modes=(BootMode.KERNEL, BootMode.UEFI, BootMode.FBSD),
    )

    def __init__(self, home: VxHome) -> None:
        self._home = home

    def missing(self, options: BhyveOptions) -> str:
        try:
            probing.find_program(options.binary)
        except ProviderError as error:
            return error.message
        return ""

    def assumed(self, options: BhyveOptions) -> HostFacts:
        return HostFacts(program=options.binary or commands.BHYVE, version="", accel=self.name)

    def probe(self, options: BhyveOptions, *, op: Op) -> HostFacts:
        """Raises HostError when bhyve is missing, ProviderError when it cannot be used."""
        op.cancel.check()
        return probing.probe(options)

    def problems(self, vm: VmSpec, host: HostFacts) -> tuple[Problem, ...]:
        found = tuple(checks.problems(vm))
        loader = commands.loader_command(vm, probing.programs_beside(host.program))
        if loader is not None and "/" not in loader[0]:
            package = "grub2-bhyve" if loader[0] == commands.GRUB else ""
            hint = f"Install it: `pkg install {package}`." if package else "It is part of FreeBSD."
            found += (Problem(vm.name, f"{loader[0]} is not on this host", hint),)
        return found

    def argv(self, vm: VmSpec, host: HostFacts) -> tuple[str, ...]:
        return self._argv(vm, host, commands.tap_name(vm.id))

    def start(self, vm: VmSpec, host: HostFacts, *, op: Op) -> Started:
        """Raises MachineBusy when it runs already, ProviderError."""
        programs = probing.programs_beside(host.program)
        tap = network.free_tap(vm.id, programs.ifconfig)

        def prepare() -> None:
            prefix = probing.prefix_of(host.privilege)
            network.make_tap(tap, vm.bhyve.bridge, programs, prefix=prefix)
            _write_loader_files(vm)

        job = self._job(vm, host, tap, programs)
        process = start.start(job, vm.layout, name=vm.name, op=op, prepare=prepare)
        return Started(process=process, address=None, forwards=())

    def find(self, layout: MachineLayout) -> ProcessIdentity | None:
        return running.find(layout)

    def addresses(self, layout: MachineLayout) -> Candidates:
        return network.candidates_of(layout)

    def ending(self, layout: MachineLayout) -> Ending | None:
        last = ended.read(layout)
        return last.ending if last is not None else None

    def details(self, layout: MachineLayout) -> Mapping[str, Any]:
        """``status``; empty when it does not run."""
        return {"status": "running"} if running.find_hypervisor(layout) is not None else {}

    def stop(
        self,
        layout: MachineLayout,
        *,
        grace_s: float,
        ask_guest: Callable[[], object] | None,
        op: Op,
    ) -> StopOutcome:
        return stop.stop(layout, grace_s=grace_s, ask_guest=ask_guest, op=op)

    def _argv(self, vm: VmSpec, host: HostFacts, tap: str) -> tuple[str, ...]:
        prefix = probing.prefix_of(host.privilege)
        return (*prefix, host.program, *commands.bhyve_argv(vm, tap=tap))

    def _job(self, vm: VmSpec, host: HostFacts, tap: str, programs: commands.Programs) -> Job:
        before, after = hooks(vm, tap, programs, prefix=probing.prefix_of(host.privilege))
        return Job(
            provider=self.name,
            argv=self._argv(vm, host, tap),
            mark=commands.vm_name(vm.id),
            env=start.environment(self.name),
            console=ConsoleKind.PTY,
            console_on_stdout=True,
            privilege=host.privilege,
            locks=tuple(str(disk.path) for disk in vm.disks if not disk.readonly),
            before=before,
            after=after,
            facts={
                "mac": vm.mac,
                "hostname": vm.hostname,
                "ssh_port": vm.guest_ssh_port,
                "leases": vm.bhyve.leases,
            },
        )


def hooks(
    vm: VmSpec, tap: str, programs: commands.Programs, *, prefix: tuple[str, ...]
) -> tuple[tuple[Hook, ...], tuple[Hook, ...]]:
    """What runs before each start and after the end. Pure.

    What is left of an earlier run goes before it is loaded, and that there is nothing is no
    failure. A guest with firmware bhyve itself begins anew (usr.sbin/bhyve/bhyverun.c).
    """
    destroy = Hook(argv=commands.destroy_command(vm.id, programs), must=False, timeout_s=_COMMAND_S)
    no_tap = Hook(argv=commands.tap_destroy(tap, programs), must=False, timeout_s=_COMMAND_S)
    loader = commands.loader_command(vm, programs)
    before = [destroy, Hook(argv=loader, timeout_s=_LOAD_S)] if loader is not None else []
    return _as_root(before, prefix), _as_root([destroy, no_tap], prefix)


def _as_root(found: list[Hook], prefix: tuple[str, ...]) -> tuple[Hook, ...]:
    return tuple(replace(hook, argv=(*prefix, *hook.argv)) for hook in found)


def _write_loader_files(vm: VmSpec) -> None:
    """Raises HostError."""
    if vm.kernel is None:
        return
    folder = make_dir(vm.layout.loader_folder, mode=0o700)
    write_atomic(folder / "grub.cfg", os.fsencode(commands.grub_config(vm)), mode=0o600)
    write_atomic(folder / "device.map", os.fsencode(commands.device_map(vm)), mode=0o600)
