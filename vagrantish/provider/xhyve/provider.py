"""xhyve and its descendant hyperkit: guests behind vmnet, on Macs with Intel processors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from vagrantish.errors import ProviderError
from vagrantish.model import BootMode
from vagrantish.provider import running
from vagrantish.provider.base import Capabilities, HostFacts, Started
from vagrantish.provider.supervisor import ended, start, stop
from vagrantish.provider.xhyve import checks, mac, privilege, sudo
from vagrantish.provider.xhyve import probe as probing
from vagrantish.provider.xhyve import start as starting
from vagrantish.provider.xhyve.argv import xhyve_argv
from vagrantish.provider.xhyve.flavour import Flavour

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vagrantish.diagnosis.endings import Ending
    from vagrantish.errors import Problem
    from vagrantish.events import Op
    from vagrantish.model import Candidates, VmSpec, XhyveOptions
    from vagrantish.paths import MachineLayout, VxHome
    from vagrantish.proc import ProcessIdentity
    from vagrantish.provider.base import StopOutcome


class Xhyve:
    name: ClassVar[str] = "xhyve"
    capabilities: ClassVar[Capabilities] = Capabilities(
        forwards_ports=False,
        disk_formats=("raw",),
        disk_serials=False,
        boot_modes=(BootMode.KERNEL, BootMode.UEFI, BootMode.FBSD),
        mac_from_host=True,
    )

    def __init__(self, home: VxHome) -> None:
        self._home = home

    def missing(self, options: XhyveOptions) -> str:
        try:
            probing.find_program(self.name, options.binary)
        except ProviderError as error:
            return error.message
        return probing.host_lacks()

    def assumed(self, options: XhyveOptions) -> HostFacts:
        flavour = Flavour.HYPERKIT if self.name == Flavour.HYPERKIT else Flavour.HEAD
        program = options.binary or self.name
        return HostFacts(program=program, version="", accel=self.name, flavour=flavour)

    def probe(self, options: XhyveOptions, *, op: Op) -> HostFacts:
        """Raises HostError when it is missing, ProviderError when it cannot be used."""
        return probing.probe(self.name, options, op=op)

    def problems(self, vm: VmSpec, host: HostFacts) -> tuple[Problem, ...]:
        return tuple(checks.problems(vm, host, provider=self.name))

    def argv(self, vm: VmSpec, host: HostFacts) -> tuple[str, ...]:
        """With sudo, where that starts it; what runs then is the same without it."""
        return privilege.command((host.program, *self._words(vm, host)), host.privilege)

    def authorize_start(self, host: HostFacts, *, op: Op) -> None:
        if host.privilege == privilege.TICKET:
            ways = privilege.ways(probing.user(), host.program)
            sudo.obtain(sudo.to_start(self.name, ways), stdin_fd=op.terminal, op=op)

    def authorize_stop(self, layout: MachineLayout, *, op: Op) -> None:
        needs_ticket = stop.privilege_of(layout) == privilege.TICKET
        if needs_ticket and op.terminal is not None and running.find_hypervisor(layout) is not None:
            sudo.obtain(sudo.to_end(self.name), stdin_fd=op.terminal, op=op)

    def learn_mac(self, vm: VmSpec, host: HostFacts, *, op: Op) -> str:
        """hyperkit's -M prints its usage, and v0.2.0 has none."""
        if host.flavour != Flavour.HEAD:
            return ""
        self.authorize_start(host, op=op)
        return mac.learn(
            privilege.command((host.program, "-M", *self._words(vm, host)), host.privilege),
            uuid=vm.uuid,
            env=start.environment(self.name),
            own_session=host.privilege != privilege.TICKET,
            name=vm.name,
            op=op,
        )

    def start(self, vm: VmSpec, host: HostFacts, *, op: Op) -> Started:
        """Raises MachineBusy when it, or a user of its disks, runs already; ProviderError."""
        checks.check(vm, host, provider=self.name)
        for text in checks.warnings(vm, host):
            op.warn(text)
        self.authorize_start(host, op=op)
        process = start.start(
            starting.job_of(
                vm, host, self.argv(vm, host), provider=self.name, options=self._options(vm)
            ),
            vm.layout,
            name=vm.name,
            op=op,
            prepare=lambda: starting.make_links(vm),
            own_session=host.privilege != privilege.TICKET,
        )
        return Started(process=process, address=None, forwards=())

    def find(self, layout: MachineLayout) -> ProcessIdentity | None:
        return running.find(layout)

    def addresses(self, layout: MachineLayout) -> Candidates:
        from vagrantish.provider.guestnet import find

        return find.candidates_of(layout)

    def ending(self, layout: MachineLayout) -> Ending | None:
        last = ended.read(layout)
        return last.ending if last is not None else None

    def details(self, layout: MachineLayout) -> Mapping[str, Any]:
        """``status``; it has no way to be asked for more."""
        if running.find(layout) is None:
            return {}
        is_between = running.find_hypervisor(layout) is None
        return {"status": "restarting" if is_between else "running"}

    def stop(
        self,
        layout: MachineLayout,
        *,
        grace_s: float,
        ask_guest: Callable[[], object] | None,
        op: Op,
    ) -> StopOutcome:
        return stop.stop(layout, grace_s=grace_s, ask_guest=ask_guest, op=op)

    def _words(self, vm: VmSpec, host: HostFacts) -> tuple[str, ...]:
        return xhyve_argv(vm, self._options(vm), Flavour(host.flavour))

    def _options(self, vm: VmSpec) -> XhyveOptions:
        return vm.xhyve


class Hyperkit(Xhyve):
    """The same, but for statuses, locks and what it is called."""

    name: ClassVar[str] = "hyperkit"
    capabilities: ClassVar[Capabilities] = Capabilities(
        forwards_ports=False,
        disk_formats=("raw",),
        disk_serials=False,
        boot_modes=(BootMode.KERNEL, BootMode.UEFI, BootMode.FBSD),
        mac_from_host=True,
    )

    def _options(self, vm: VmSpec) -> XhyveOptions:
        return vm.hyperkit
