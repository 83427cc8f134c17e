"""What a hypervisor owes vx."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vagrantish.errors import Problem
    from vagrantish.events import Op
    from vagrantish.model import Address, Forward, QemuOptions, VmSpec
    from vagrantish.paths import MachineLayout
    from vagrantish.proc import ProcessIdentity


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    forwards_ports: bool  # guest ports appear on the host's loopback
    disk_formats: tuple[str, ...]  # the best first


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What probing found; everything an argument list needs to know about the host."""

    program: str  # absolute path of the hypervisor
    version: str
    accel: str  # "kvm", "hvf", "tcg"
    notes: tuple[str, ...] = ()  # for people: why something faster is not used


@dataclass(frozen=True, kw_only=True)
class Started:
    process: ProcessIdentity
    address: Address
    forwards: tuple[Forward, ...]  # as they came out, every host port a real one


class StopOutcome(StrEnum):
    NOT_RUNNING = "was not running"
    SHUT_DOWN = "shut down"
    FORCED = "forced off"


class Provider(Protocol):
    """A hypervisor. Holds no state: all it knows comes in as arguments or from the layout's files."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def probe(self, options: QemuOptions, *, op: Op) -> HostFacts:
        """Find the program, its version and what it can use here. Raises ProviderError."""

    def problems(self, vm: VmSpec, host: HostFacts) -> tuple[Problem, ...]:
        """Everything wrong with ``vm`` on this host, not just the first thing.

        Looks at the box's files and changes nothing; those in the machine's own folder need not
        be there yet.
        """

    def argv(self, vm: VmSpec, host: HostFacts) -> tuple[str, ...]:
        """The exact command ``start`` runs. Pure."""

    def start(self, vm: VmSpec, host: HostFacts, *, op: Op) -> Started:
        """Start detached from vx and its terminal.

        Raises MachineBusy when it runs already, PortTaken, or ProviderError with what the
        hypervisor said; nothing new is left running then.
        """

    def find(self, layout: MachineLayout) -> ProcessIdentity | None:
        """The hypervisor process of this machine, even when vx died before it could note it."""

    def address(self, layout: MachineLayout) -> Address | None:
        """Where the guest's sshd is reached; one look, None while unknown."""

    def details(self, layout: MachineLayout) -> Mapping[str, Any]:
        """What the hypervisor says of itself, for ``status --json``; empty when it does not answer."""

    def stop(
        self,
        layout: MachineLayout,
        *,
        grace_s: float,
        ask_guest: Callable[[], object] | None,
        op: Op,
    ) -> StopOutcome:
        """Power the guest down: the power button, then ``ask_guest`` (poweroff over ssh), then force.

        ``grace_s`` 0 cuts the power at once. Nothing of the hypervisor runs afterwards.
        """
