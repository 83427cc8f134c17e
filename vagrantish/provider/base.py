"""What a hypervisor owes vx."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from vagrantish.errors import ProviderError
from vagrantish.model import BootMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vagrantish.diagnosis.endings import Ending
    from vagrantish.errors import Problem
    from vagrantish.events import Op
    from vagrantish.model import Address, Candidates, Forward, VmSpec
    from vagrantish.paths import MachineLayout
    from vagrantish.proc import ProcessIdentity


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    forwards_ports: bool  # guest ports appear on the host's loopback
    disk_formats: tuple[str, ...]  # the best first
    boot_modes: tuple[BootMode, ...] = (BootMode.KERNEL,)
    disk_serials: bool = True  # the guest sees the serial numbers of ``Disk``
    mac_from_host: bool = False  # the host picks the guest's MAC: see ``LearnsMac``
    console: str = "ttyS0"  # what the guest calls the console that is logged


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What probing found; everything an argument list needs to know about the host."""

    program: str  # absolute path of the hypervisor
    version: str  # "" where it was not asked
    accel: str  # "kvm", "hvf", "tcg"; of others than QEMU their own name
    flavour: str = ""  # which of its kinds: "head", "v0.2.0"
    unsigned: str = ""  # what its signature lacks for this system, for people
    privilege: str = ""  # how it becomes root: "", "setuid", "entitled", "sudo", "sudo-ticket"
    notes: tuple[str, ...] = ()  # for people: why something faster is not used


@dataclass(frozen=True, kw_only=True)
class Started:
    process: ProcessIdentity
    address: Address | None  # None: it is looked for
    forwards: tuple[Forward, ...]  # as they came out, every host port a real one


class StopOutcome(StrEnum):
    NOT_RUNNING = "was not running"
    SHUT_DOWN = "shut down"
    FORCED = "forced off"


class Provider(Protocol):
    """A hypervisor. Holds no state: all it knows comes in as arguments or from the layout's files."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def missing(self, options: Any) -> str:
        """Why this host cannot have it, in a clause; "" when its program is there. Quick."""

    def probe(self, options: Any, *, op: Op) -> HostFacts:
        """Find the program, its version and what it can use here. Raises ProviderError.

        ``options`` is the provider's own table of the settings.
        """

    def assumed(self, options: Any) -> HostFacts:
        """What ``probe`` would find where all is well: for arguments on a host without it."""

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

    def addresses(self, layout: MachineLayout) -> Candidates:
        """Where the guest's sshd may be reached; one look, none while unknown."""

    def ending(self, layout: MachineLayout, /) -> Ending | None:
        """How the last run ended, as far as the provider knows."""

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


@runtime_checkable
class LearnsMac(Protocol):
    """A provider whose host picks the guest's MAC from its UUID."""

    def learn_mac(self, vm: VmSpec, host: HostFacts, *, op: Op) -> str:
        """The MAC the guest will have, "" where this program cannot tell beforehand.

        Raises UuidRefused when another UUID may work, ProviderError.
        """


@runtime_checkable
class AsksForRoot(Protocol):
    """A provider that may need its user to type a password, before anything is started or ended."""

    def authorize_start(self, host: HostFacts, *, op: Op) -> None:
        """Raises ProviderError when that cannot be had."""

    def authorize_stop(self, layout: MachineLayout, *, op: Op) -> None:
        """Asks only where there is somebody: a guest may still power itself off."""


class UuidRefused(ProviderError):
    """The host has no network interface for this UUID."""
