"""vfkit: a guest behind the Mac's own NAT, with no need for root.

It is ended by asking the guest, by the power button over REST, and by SIGKILL: vfkit's own
HardStop fails for many guests (crc-org/vfkit#277), and its SIGTERM is the button and HardStop.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import vagrantish
from vagrantish.errors import ProviderError
from vagrantish.model import BootMode
from vagrantish.provider import running
from vagrantish.provider.base import Capabilities, HostFacts, Started
from vagrantish.provider.guestnet import find
from vagrantish.provider.supervisor import ended, start, stop
from vagrantish.provider.supervisor.job import ConsoleKind, Hook, Job
from vagrantish.provider.vfkit import checks, rest
from vagrantish.provider.vfkit import probe as probing
from vagrantish.provider.vfkit.argv import CONSOLE, rest_uri, vfkit_argv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vagrantish.diagnosis.endings import Ending
    from vagrantish.errors import Problem
    from vagrantish.events import Op
    from vagrantish.model import Candidates, VfkitOptions, VmSpec
    from vagrantish.paths import MachineLayout, VxHome
    from vagrantish.proc import ProcessIdentity
    from vagrantish.provider.base import StopOutcome

_DETAILS_S = 1.0
_PRESS_S = 10.0


class Vfkit:
    name: ClassVar[str] = "vfkit"
    capabilities: ClassVar[Capabilities] = Capabilities(
        forwards_ports=False,
        disk_formats=("raw",),
        boot_modes=(BootMode.KERNEL, BootMode.UEFI),
        console=CONSOLE,
    )

    def __init__(self, home: VxHome) -> None:
        self._home = home

    def missing(self, options: VfkitOptions) -> str:
        try:
            probing.find_program(options.binary)
        except ProviderError as error:
            return error.message
        return ""

    def assumed(self, options: VfkitOptions) -> HostFacts:
        return HostFacts(program=options.binary or probing.PROGRAM, version="", accel=self.name)

    def probe(self, options: VfkitOptions, *, op: Op) -> HostFacts:
        """Raises HostError when vfkit is missing, ProviderError when it does not work."""
        op.cancel.check()
        return probing.probe(options.binary)

    def problems(self, vm: VmSpec, _host: HostFacts) -> tuple[Problem, ...]:
        return tuple(checks.problems(vm, arch=probing.host_arch()))

    def argv(self, vm: VmSpec, host: HostFacts) -> tuple[str, ...]:
        return (host.program, *vfkit_argv(vm))

    def start(self, vm: VmSpec, host: HostFacts, *, op: Op) -> Started:
        """Raises MachineBusy when it runs already, ProviderError."""
        process = start.start(self._job(vm, host), vm.layout, name=vm.name, op=op)
        return Started(process=process, address=None, forwards=())

    def find(self, layout: MachineLayout) -> ProcessIdentity | None:
        return running.find(layout)

    def addresses(self, layout: MachineLayout) -> Candidates:
        return find.candidates_of(layout)

    def ending(self, layout: MachineLayout) -> Ending | None:
        last = ended.read(layout)
        return last.ending if last is not None else None

    def details(self, layout: MachineLayout) -> Mapping[str, Any]:
        """``status``; empty when vfkit does not answer."""
        if running.find(layout) is None:
            return {}
        try:
            return {"status": rest.state(layout.rest_socket, timeout_s=_DETAILS_S)}
        except rest.RestError:
            return {}

    def stop(
        self,
        layout: MachineLayout,
        *,
        grace_s: float,
        ask_guest: Callable[[], object] | None,
        op: Op,
    ) -> StopOutcome:
        return stop.stop(layout, grace_s=grace_s, ask_guest=ask_guest, op=op)

    def _job(self, vm: VmSpec, host: HostFacts) -> Job:
        """The framework locks disks itself, so they are not locked here (flock(2) is one for all)."""
        socket = vm.layout.rest_socket
        return Job(
            provider=self.name,
            argv=self.argv(vm, host),
            mark=rest_uri(socket),
            env=start.environment(self.name),
            console=ConsoleKind.FILE,
            # vfkit gives up where the socket is there already (gin's RunUnix).
            remove=(str(socket),),
            button=Hook(argv=_press_command(socket), must=False, timeout_s=_PRESS_S),
            facts={
                "mac": vm.mac,
                "hostname": vm.hostname,
                "ssh_port": vm.guest_ssh_port,
                "leases": vm.vfkit.leases,
                "leases_before": find.snapshot_of(vm.vfkit.leases),
            },
        )


def _press_command(socket: Path) -> tuple[str, ...]:
    package = Path(vagrantish.__file__).resolve().parents[1]
    return (
        "/usr/bin/env",
        f"PYTHONPATH={package}",
        sys.executable,
        "-P",
        "-m",
        "vagrantish.provider.vfkit.press",
        str(socket),
    )
