"""From a halted machine to a guest that answers ssh."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.diagnosis.endings import Ending, EndingKind
from vagrantish.errors import ProviderError
from vagrantish.events import Cancel
from vagrantish.files import sweep_staged
from vagrantish.lifecycle import (
    access,
    bootmodes,
    bootnote,
    connect,
    hypervisors,
    kernels,
    seeding,
)
from vagrantish.lifecycle.access import ssh_fields
from vagrantish.lifecycle.changes import start_settings, waiting
from vagrantish.lifecycle.create import user_of
from vagrantish.lifecycle.spec import box_fields, has_disk, is_volatile, spec_of
from vagrantish.model import BootMode, SeedKind
from vagrantish.provider import hostports, running
from vagrantish.provision.memory import StepMemory
from vagrantish.ssh.ready import Sources, wait_ready
from vagrantish.units import whole_sectors

if TYPE_CHECKING:
    from vagrantish.events import Op
    from vagrantish.lifecycle.hypervisors import Hypervisor
    from vagrantish.lifecycle.services import Services
    from vagrantish.machine.record import Record
    from vagrantish.model import Box, MachineConfig, VmSpec
    from vagrantish.paths import MachineLayout
    from vagrantish.provider.base import Provider
    from vagrantish.ssh.client import Client


def plan_vm(
    services: Services, machine: MachineConfig, box: Box, record: Record, provider: Provider
) -> VmSpec:
    """What would be started. Looks at no disk: the format is the one ``prepare`` will make.

    Raises BoxError, ProviderError where box, settings and provider do not go together.
    """
    from vagrantish.box.disk import disk_format

    bootmodes.check(machine, box, provider)
    layout = services.machines.layout(record)
    return spec_of(
        record,
        machine,
        box,
        layout,
        disk_format=disk_format(
            box, machine.disk_bytes, formats=provider.capabilities.disk_formats
        ),
        firmware=bootmodes.firmware_of(machine, layout, provider),
        fbsd=bootmodes.loader_of(machine, layout),
    )


def check(hypervisor: Hypervisor, vm: VmSpec) -> None:
    """Raises ProviderError naming every reason why ``vm`` cannot run here."""
    provider = hypervisor.provider
    problems = provider.problems(vm, hypervisor.host)
    if not provider.capabilities.forwards_ports:
        problems += hostports.unforwardable(vm.forwards, provider=provider.name)
    if problems:
        raise ProviderError(
            "\n".join(problem.message for problem in problems),
            hint=" ".join(dict.fromkeys(problem.hint for problem in problems if problem.hint)),
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
    drop_forwards(layout, op=op)  # of a machine that just ended by itself
    if not hypervisor.provider.capabilities.forwards_ports:
        from vagrantish.lifecycle import forwarding

        forwarding.check(machine.forwards, machine=machine.name)
    if is_volatile(box, machine) or record.volatile or not layout.disk.exists():
        # The guest begins anew, so what steps once did is gone: in RAM now or before, or on a disk
        # that is only made here.
        StepMemory.load(layout.steps).clear()
    if layout.disk.exists() and not has_disk(box, machine):
        op.warn(
            "The Xhyvefile no longer gives this machine a disk; the one it had is kept, unused, "
            f"until `vx destroy {machine.name}`"
        )
    hypervisors.belong_to(record, hypervisor.provider)
    if not record.mac:
        # First, as a seed may name it.
        vm = plan_vm(services, machine, box, record, hypervisor.provider)
        hypervisors.settle_mac(services, record, hypervisor, vm, op=op)
    prepare(services, machine, box, record, hypervisor.provider, op=op)
    vm = plan_vm(services, machine, box, record, hypervisor.provider)
    record.box = box_fields(box, machine) | {"instance": seeding.instance_of(machine, box, record)}
    record.user = user_of(machine, box)
    record.ssh = ssh_fields(machine, box.seed)
    access.pin(record, layout)
    record.started_with = start_settings(machine)
    services.machines.save(record)
    bootnote.forget(layout)
    try:
        started = hypervisor.provider.start(vm, hypervisor.host, op=op)
        if started.address is not None:
            record.ssh_port = started.address.port
            services.machines.save(record)
        return wait(
            services, machine, record, hypervisor.provider, started_at=time.monotonic(), op=op
        )
    except BaseException:
        stop_now(hypervisor.provider, layout, op=op)
        raise


def wait(
    services: Services,
    machine: MachineConfig,
    record: Record,
    provider: Provider,
    *,
    started_at: float,
    console_from: int = 0,
    op: Op,
) -> Client:
    """Wait for a running guest; also goes on with a boot that another vx began.

    ``console_from`` is where in the console's log this boot begins. Raises BootError, Cancelled.
    """
    layout = services.machines.layout(record)
    with bootnote.kept(layout):
        client = wait_ready(
            lambda: provider.addresses(layout),
            lambda address: connect.target_of(record, layout, address.host, address.port),
            Sources(
                console_log=layout.console_log,
                provider_log=layout.provider_log,
                provider_out=layout.provider_out,
                ending=lambda: ending_of(provider, layout),
                console_from=console_from,
            ),
            timeout_s=machine.boot.timeout_s,
            stall_s=machine.boot.stall_s,
            started_at=started_at,
            op=op,
        )
    try:
        running.note_address(layout, client.target.address_host, client.target.address_port)
        _finish_first_boot(services, machine, record, client, op=op)
        keep_forwards(services, machine, record, provider, just_booted=True, op=op)
    except BaseException:
        client.close()
        raise
    running.mark_ready(layout)
    return client


def keep_forwards(
    services: Services,
    machine: MachineConfig,
    record: Record,
    provider: Provider,
    *,
    just_booted: bool = False,
    op: Op,
) -> None:
    """Open the ports of a guest that runs, where its hypervisor cannot; those that are stay so.

    Other ports than it was started with wait for a reload. Raises PortTaken, ProviderError,
    SSHError.
    """
    if provider.capabilities.forwards_ports:
        return
    from vagrantish.lifecycle import forwarding

    layout = services.machines.layout(record)
    process, where = provider.find(layout), running.address(layout)
    if process is not None and where is not None:
        have_changed = "forward" in waiting(machine, record.started_with)
        forwarding.open_forwards(
            connect.target_of(record, layout, *where),
            layout,
            forwarding.asked(layout) if have_changed else machine.forwards,
            process,
            provider=provider.name,
            anew=just_booted,
            op=op,
        )


def ending_of(provider: Provider, layout: MachineLayout) -> Ending | None:
    """How the hypervisor ended; None while it runs."""
    if provider.find(layout) is not None:
        return None
    return provider.ending(layout) or Ending(kind=EndingKind.UNKNOWN, text="")


def _finish_first_boot(
    services: Services, machine: MachineConfig, record: Record, client: Client, *, op: Op
) -> None:
    """The first time, and after each change that is to be carried out, cloud-init is waited for."""
    instance = record.box.get("instance")
    if not isinstance(instance, str) or instance in ("", record.seeded):
        return
    from vagrantish.lifecycle import cloudinit

    cloudinit.wait_done(
        client,
        user_data=cloudinit.read_user_data(machine.cloud_init),
        timeout_s=machine.boot.timeout_s,
        op=op,
    )
    record.seeded = instance
    services.machines.save(record)


def prepare(
    services: Services,
    machine: MachineConfig,
    box: Box,
    record: Record,
    provider: Provider,
    *,
    op: Op,
) -> None:
    """Make what the machine boots from if it is not there yet, find its disk's kernel, and write
    its seed."""
    layout = services.machines.layout(record)
    from vagrantish.box.disk import disk_format, prepare_disk
    from vagrantish.box.ondisk import has_grown

    # Whoever was writing these was killed: the machine is locked, and nothing of it runs.
    sweep_staged(
        layout.disk, layout.initrd, layout.record, layout.steps, layout.kernel,
        layout.disk_initrd, layout.seed, layout.firmware_vars,
    )  # fmt: skip
    if layout.disk.exists():
        formats = provider.capabilities.disk_formats
        form = disk_format(box, machine.disk_bytes, formats=formats) or "raw"
        kernels.follow_disk(box, machine, record, layout, form, op=op)
    elif box.seed is SeedKind.TINYCORE and machine.disk_bytes is not None:
        from vagrantish.seed.tinycore_disk import make_disk

        make_disk(layout.disk, whole_sectors(machine.disk_bytes), uuid=record.uuid)
    prepare_disk(
        box,
        layout.disk,
        machine.disk_bytes,
        formats=provider.capabilities.disk_formats,
        home=services.home,
        op=op,
    )
    bootmodes.make_vars(machine, layout, provider, op=op)
    if box.seed is SeedKind.TINYCORE:
        from vagrantish.seed.tinycore import misread_words

        for word, code in misread_words(machine.boot.cmdline):
            op.warn(f"Tiny Core reads {word} in `boot.cmdline` as its own {code}=")
    by_kernel = machine.boot.mode is BootMode.KERNEL
    seeding.write(
        machine,
        box,
        record,
        layout,
        kernels.boot_files(box, record, layout).initrd if by_kernel else None,
        grow=has_grown(box, machine.disk_bytes),
        provider=provider.capabilities,
    )


def stop_now(provider: Provider, layout: MachineLayout, *, op: Op) -> None:
    """Cut the power, also while the user is cancelling."""
    calm = replace(op, cancel=Cancel())
    provider.stop(layout, grace_s=0, ask_guest=None, op=calm)
    drop_forwards(layout, op=calm)


def drop_forwards(layout: MachineLayout, *, op: Op) -> None:
    """Close what ``keep_forwards`` opened; their keeper ends with the machine, but a little later."""
    if layout.tunnel_job.exists() or layout.tunnel_state.exists():
        from vagrantish.lifecycle import forwarding

        forwarding.close_forwards(layout, op=op)
