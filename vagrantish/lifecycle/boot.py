"""From a halted machine to a guest that answers ssh."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vagrantish.errors import ProviderError
from vagrantish.events import Cancel
from vagrantish.files import sweep_staged
from vagrantish.lifecycle import connect
from vagrantish.lifecycle.changes import start_settings
from vagrantish.lifecycle.create import ssh_fields, user_of
from vagrantish.lifecycle.spec import box_fields, is_volatile, spec_of, takes_overlay
from vagrantish.provider import running
from vagrantish.provision.memory import StepMemory
from vagrantish.ssh import keys
from vagrantish.ssh.ready import wait_ready

if TYPE_CHECKING:
    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.machine.record import Record
    from vagrantish.model import Box, MachineConfig, VmSpec
    from vagrantish.paths import MachineLayout
    from vagrantish.provider.base import HostFacts, Provider
    from vagrantish.ssh.client import Client


@dataclass(frozen=True, kw_only=True)
class Hypervisor:
    """A provider and what probing found for it."""

    provider: Provider
    host: HostFacts


def plan_vm(services: Services, machine: MachineConfig, box: Box, record: Record) -> VmSpec:
    """What would be started. Looks at no disk: the format is the one ``prepare`` will make."""
    layout = services.machines.layout(record)
    from vagrantish.box.disk import disk_format

    return spec_of(record, machine, box, layout, disk_format=disk_format(box, machine.disk_bytes))


def check(hypervisor: Hypervisor, vm: VmSpec) -> None:
    """Raises ProviderError naming every reason why ``vm`` cannot run here."""
    problems = hypervisor.provider.problems(vm, hypervisor.host)
    if problems:
        raise ProviderError(
            "\n".join(problem.message for problem in problems),
            hint="; ".join(problem.hint for problem in problems if problem.hint),
        )


def boot(
    services: Services,
    machine: MachineConfig,
    box: Box,
    record: Record,
    hypervisor: Hypervisor,
    *,
    op: Op,
) -> Client:
    """Start the machine and wait until its guest runs a command over ssh.

    Whatever ends this early, nothing is left running. Raises ProviderError, BootError, Cancelled.
    """
    layout = services.machines.layout(record)
    vm = plan_vm(services, machine, box, record)
    if is_volatile(box, machine) or record.volatile or not layout.disk.exists():
        # The guest begins anew, so what steps once did is gone: in RAM now or before, or on a disk
        # that is only made here.
        StepMemory.load(layout.steps).clear()
    if layout.disk.exists() and not vm.disks:
        op.warn(
            "The Xhyvefile no longer gives this machine a disk; the one it had is kept, unused, "
            f"until `vx destroy {machine.name}`"
        )
    prepare(machine, box, record, layout)
    record.box = box_fields(box, machine)
    record.user = user_of(machine, box)
    record.ssh = ssh_fields(machine)
    record.started_with = start_settings(machine)
    services.machines.save(record)
    try:
        started = hypervisor.provider.start(vm, hypervisor.host, op=op)
        record.ssh_port = started.address.port
        services.machines.save(record)
        return wait(
            machine, record, layout, hypervisor.provider, started_at=time.monotonic(), op=op
        )
    except BaseException:
        stop_now(hypervisor.provider, layout, op=op)
        raise


def wait(
    machine: MachineConfig,
    record: Record,
    layout: MachineLayout,
    provider: Provider,
    *,
    started_at: float,
    console_from: int = 0,
    op: Op,
) -> Client:
    """Wait for a running guest; also goes on with a boot that another vx began.

    ``console_from`` is where in the console's log this boot begins. Raises BootError, Cancelled.
    """
    client = wait_ready(
        lambda: provider.address(layout),
        lambda address: connect.target_of(record, layout, address.host, address.port),
        console_log=layout.console_log,
        alive=lambda: provider.find(layout) is not None,
        timeout_s=machine.boot.timeout_s,
        stall_s=machine.boot.stall_s,
        started_at=started_at,
        console_from=console_from,
        op=op,
    )
    running.mark_ready(layout)
    return client


def prepare(machine: MachineConfig, box: Box, record: Record, layout: MachineLayout) -> None:
    """Make the disk if there is none yet, and the initrd with this machine's overlay."""
    from vagrantish.box.disk import prepare_disk

    # Whoever was writing these was killed: the machine is locked, and nothing of it runs.
    sweep_staged(layout.disk, layout.initrd, layout.record, layout.steps)
    prepare_disk(box, layout.disk, machine.disk_bytes)
    if takes_overlay(box):
        from vagrantish.model import ArtifactKind
        from vagrantish.seed.initrd import write_initrd
        from vagrantish.seed.overlay import SeedData, entries

        private = layout.host_key.read_bytes()
        public = layout.user_key.with_name(layout.user_key.name + ".pub").read_text().strip()
        seed = SeedData(
            instance_id=record.id,
            hostname=machine.hostname,
            user=user_of(machine, box),
            authorized_keys=(public, *machine.ssh.extra_keys),
            host_key=private,
            host_key_public=layout.host_key.with_name(layout.host_key.name + ".pub")
            .read_text()
            .strip(),
            dropbear_host_key=keys.dropbear_private(private),
        )
        initrd = box.artifacts.get(ArtifactKind.INITRD)
        write_initrd(initrd.path if initrd else None, entries(seed), layout.initrd)


def stop_now(provider: Provider, layout: MachineLayout, *, op: Op) -> None:
    """Cut the power, also while the user is cancelling."""
    calm = replace(op, cancel=Cancel())
    provider.stop(layout, grace_s=0, ask_guest=None, op=calm)
