"""``vx up``: create, boot, wait, provision; every step looks before it acts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.errors import MachineError
from vagrantish.lifecycle import (
    access,
    boot,
    hypervisors,
    locking,
    look,
    parallel,
    provisioning,
)
from vagrantish.lifecycle.access import KeysUnknown, ssh_fields
from vagrantish.lifecycle.boxes import resolve_box, stored_box
from vagrantish.lifecycle.changes import waiting
from vagrantish.lifecycle.create import create
from vagrantish.model import ArtifactKind, BoxRef
from vagrantish.provider import running
from vagrantish.ssh.program import check_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagrantish.events import Op
    from vagrantish.lifecycle.hypervisors import Hypervisor
    from vagrantish.lifecycle.services import Services
    from vagrantish.machine.record import Record
    from vagrantish.model import Box, Forward, MachineConfig, Project
    from vagrantish.provision.base import StepOutcome
    from vagrantish.ssh.client import Client


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    provision: bool = True
    only: tuple[str, ...] = ()
    force: bool = False  # run every step, whatever is remembered
    jobs: int = 2


@dataclass(frozen=True, kw_only=True)
class UpResult:
    machine: str
    outcome: str  # "created", "started", "went on booting", "was running"
    steps: tuple[StepOutcome, ...]
    host: str
    port: int
    forwards: tuple[Forward, ...]
    message: str
    seconds: float

    @property
    def did_nothing(self) -> bool:
        return self.outcome == WAS_RUNNING and not self.steps


CREATED, STARTED, WENT_ON, WAS_RUNNING = "created", "started", "went on booting", "was running"


def up(
    services: Services,
    project: Project,
    machines: Sequence[MachineConfig],
    options: UpOptions,
    *,
    op: Op,
) -> tuple[UpResult, ...]:
    """Bring machines up, several at once. Raises what ``parallel.each`` raises."""
    provisioning.check_only(machines, options.only)
    check_path(str(services.home.root))
    machines = with_needed(services, project, machines)
    down = [machine for machine in machines if not _is_up(services, project, machine)]
    chosen = {machine.name: _probe(services, project, machine, op=op) for machine in down}
    hypervisors.authorize(chosen.values(), op=op)
    boxes = {machine.name: resolve_box(services, machine.box, op=op) for machine in down}
    locking.check_scripts(services, machines)
    locking.remember(services, boxes.values())
    if not services.pins.insisted:
        named = {m.box: boxes[m.name] for m in down if isinstance(m.box, BoxRef)}
        locking.add_missing(services, down, named, op=op)

    def one(machine: MachineConfig, op: Op) -> UpResult:
        with services.machines.lock(project.root, machine.name, op=op):
            return _up_one(
                services,
                project,
                machine,
                boxes.get(machine.name),
                chosen.get(machine.name),
                options,
                op=op,
            )

    return parallel.each(machines, one, jobs=options.jobs, op=op)


def get_boxes(
    services: Services, project: Project, machines: Sequence[MachineConfig], *, op: Op
) -> bool:
    """Bring the boxes into the store that ``up`` will want; whether any was not there before.

    Then the settings must be read again, as a box brings defaults of its own. A missing hypervisor
    is told before minutes go into a box, and both before any machine starts.
    """
    check_path(str(services.home.root))
    wanted = with_needed(services, project, machines)
    missing = [
        machine
        for machine in wanted
        if isinstance(machine.box, BoxRef)
        and not _is_up(services, project, machine)
        and stored_box(services, machine.box) is None
    ]
    for machine in missing:
        _probe(services, project, machine, op=op)
    for machine in missing:
        resolve_box(services, machine.box, op=op)
    return bool(missing)


def with_needed(
    services: Services, project: Project, machines: Sequence[MachineConfig]
) -> tuple[MachineConfig, ...]:
    """``machines`` and those they need that are not ready, in the project's order."""
    by_name = {machine.name: machine for machine in project.machines}
    wanted = {machine.name for machine in machines}
    unseen = list(machines)
    while unseen:
        for need in unseen.pop().needs:
            is_ready = look.look(services.home, project.root, need).state == look.RUNNING
            if need not in wanted and not is_ready:
                wanted.add(need)
                unseen.append(by_name[need])
    return tuple(machine for machine in project.machines if machine.name in wanted)


def _probe(services: Services, project: Project, machine: MachineConfig, *, op: Op) -> Hypervisor:
    record = look.look(services.home, project.root, machine.name).record
    return hypervisors.probe(services, machine, record, op=op)


def _is_up(services: Services, project: Project, machine: MachineConfig) -> bool:
    return look.look(services.home, project.root, machine.name).process is not None


def _up_one(
    services: Services,
    project: Project,
    machine: MachineConfig,
    box: Box | None,
    hypervisor: Hypervisor | None,
    options: UpOptions,
    *,
    op: Op,
) -> UpResult:
    began = time.monotonic()
    view = look.look(services.home, project.root, machine.name)
    client: Client | None = None
    record = view.record
    if record is None or view.process is None:
        # The lock was waited for, so another vx may have halted it since.
        hypervisor = hypervisor or hypervisors.probe(services, machine, record, op=op)
        box = box or resolve_box(services, machine.box, op=op)
        outcome = CREATED if record is None else STARTED
        record, client = _boot(services, project, machine, box, record, hypervisor, op=op)
    elif view.state == look.BOOTING:
        outcome = WENT_ON
        client = _go_on(services, machine, record, op=op)
    else:
        outcome = WAS_RUNNING
        provider = services.provider(record.provider)
        boot.keep_forwards(services, machine, record, provider, op=op)
        _tell_what_waits(services, machine, record, op=op)
    if outcome != CREATED:
        services.machines.claim(record, project.root, op=op)
    try:
        steps = (
            provisioning.run(
                services,
                machine,
                record,
                client,
                only=options.only,
                force=options.force,
                op=op,
            )
            if options.provision
            else ()
        )
    finally:
        if client is not None:
            client.close()
    return _result(services, machine, record, outcome, steps, time.monotonic() - began)


def _tell_what_waits(services: Services, machine: MachineConfig, record: Record, *, op: Op) -> None:
    """What a running machine takes at once it is given; of the rest the user is told."""
    fields = ssh_fields(machine, str(record.box.get("seed", "")))
    if record.ssh != fields:
        record.ssh = fields
        access.pin(record, services.machines.layout(record))
        services.machines.save(record)
    keys = waiting(machine, record.started_with)
    if keys:
        what = f"{', '.join(keys)} changed since it was started"
        op.warn(f"{what}: `vx reload {machine.name}` applies that")
    if not hypervisors.may_stay(machine, record):
        wanted = machine.providers[0]
        op.warn(
            f"It runs under {record.provider}: `vx reload --provider {wanted} {machine.name}` "
            f"starts it under {wanted}"
        )


def _boot(
    services: Services,
    project: Project,
    machine: MachineConfig,
    box: Box,
    record: Record | None,
    hypervisor: Hypervisor,
    *,
    op: Op,
) -> tuple[Record, Client]:
    fresh = record is None
    if record is None:
        record = create(services, project, machine, box, hypervisor.provider, op=op)
    try:
        box = _box_for_disk(record, box)
        boot.check(hypervisor, boot.plan_vm(services, machine, box, record, hypervisor.provider))
        access.check(machine, box, services.machines.layout(record))
        for note in hypervisor.host.notes:
            op.note(note)
        client = boot.boot(services, machine, box, record, hypervisor, op=op)
    except KeysUnknown:
        raise  # and its user may take its public key
    except BaseException:
        # A machine that never started has nothing worth keeping; one that did keeps its console.
        layout = services.machines.layout(record)
        if fresh and not layout.console_log.exists():
            services.machines.delete(record, project.root)
        raise
    return record, client


def check_restart(
    services: Services, project: Project, machines: Sequence[MachineConfig], *, op: Op
) -> None:
    """Raises what is sure to keep a running machine from coming up again, before it is halted."""
    from vagrantish.box.disk import prepare_disk

    for machine in machines:
        view = look.look(services.home, project.root, machine.name)
        if view.record is None or view.process is None:
            continue
        hypervisor = hypervisors.probe(services, machine, view.record, op=op)
        box = _box_for_disk(view.record, resolve_box(services, machine.box, op=op))
        boot.check(
            hypervisor, boot.plan_vm(services, machine, box, view.record, hypervisor.provider)
        )
        layout = services.machines.layout(view.record)
        access.check(machine, box, layout)
        if layout.disk.exists():
            # Of a disk that is there, a check.
            formats = hypervisor.provider.capabilities.disk_formats
            prepare_disk(box, layout.disk, machine.disk_bytes, formats=formats)


def _box_for_disk(record: Record, box: Box) -> Box:
    """Refuse to boot another box's kernel on a disk made from this one."""
    made_from = record.artifact_digests.get(ArtifactKind.DISK)
    disk = box.artifacts.get(ArtifactKind.DISK)
    if made_from is not None and (disk is None or str(disk.digest) != made_from):
        raise MachineError(
            f"machine {record.name} has a disk made from {record.box_label}, "
            f"but the Xhyvefile now says {box.label}",
            hint=f"Run `vx destroy {record.name}` and `vx up` for the new box, "
            "or name the old one in the Xhyvefile.",
        )
    return box


def _go_on(services: Services, machine: MachineConfig, record: Record, *, op: Op) -> Client:
    """Wait for a guest that another vx started and did not see ready."""
    layout = services.machines.layout(record)
    provider = services.provider(record.provider)
    try:
        return boot.wait(services, machine, record, provider, started_at=time.monotonic(), op=op)
    except BaseException:
        boot.stop_now(provider, layout, op=op)
        raise


def _result(
    services: Services,
    machine: MachineConfig,
    record: Record,
    outcome: str,
    steps: tuple[StepOutcome, ...],
    seconds: float,
) -> UpResult:
    layout = services.machines.layout(record)
    host, port = running.address(layout) or ("127.0.0.1", record.ssh_port)
    return UpResult(
        machine=machine.name,
        outcome=outcome,
        steps=steps,
        host=host,
        port=port,
        forwards=tuple(running.forwards(layout)),
        message=machine.message,
        seconds=seconds,
    )
