"""What xhyve's supervisor is told, and the files xhyve finds by names without commas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.files import host_errors
from vagrantish.provider.guestnet.find import snapshot_of
from vagrantish.provider.supervisor.job import ConsoleKind, Job
from vagrantish.provider.supervisor.start import environment
from vagrantish.provider.xhyve import extra
from vagrantish.provider.xhyve.argv import links, slots_of
from vagrantish.provider.xhyve.flavour import Flavour
from vagrantish.provider.xhyve.privilege import TICKET

if TYPE_CHECKING:
    from vagrantish.model import VmSpec, XhyveOptions
    from vagrantish.provider.base import HostFacts

HYPERKIT = "hyperkit"


def job_of(
    vm: VmSpec, host: HostFacts, argv: tuple[str, ...], *, provider: str, options: XhyveOptions
) -> Job:
    """Takes from the user's environment what a hypervisor is to have, and looks at the leases."""
    written = [str(disk.path) for disk in vm.disks if not disk.readonly]
    if vm.firmware is not None and vm.firmware.vars is not None:
        written.append(str(vm.firmware.vars))
    named = extra.uses(options.extra_args, Flavour(host.flavour), slots_of(vm))
    written += [use.path for use in named if use.is_disk and use.write]
    return Job(
        provider=provider,
        argv=argv,
        mark=vm.uuid,
        env=environment(provider),
        # That sudo is in the user's session, and so in reach of the user's terminal.
        console=ConsoleKind.SOCKET if host.privilege == TICKET else ConsoleKind.PTY,
        privilege=host.privilege,
        # hyperkit locks its disks itself, with flock(2) too (hyperkit src/lib/block_if.c).
        locks=() if provider == HYPERKIT else tuple(written),
        facts={
            "uuid": vm.uuid,
            "mac": vm.mac,
            "hostname": vm.hostname,
            "ssh_port": vm.guest_ssh_port,
            "leases": options.leases,
            # Without a MAC a new guest may be told by what is new there.
            "leases_before": snapshot_of(options.leases),
        },
    )


def make_links(vm: VmSpec) -> None:
    """Raises HostError."""
    for link, target in links(vm).items():
        with host_errors(f"link {target}"):
            link.unlink(missing_ok=True)
            link.symlink_to(target)
