"""The hypervisor command of a machine."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from vagrantish import proc
from vagrantish.errors import MachineNotFound
from vagrantish.lifecycle import boot, hypervisors, look
from vagrantish.lifecycle.boxes import resolve_box
from vagrantish.lifecycle.create import user_of
from vagrantish.lifecycle.spec import box_fields
from vagrantish.machine.record import Record
from vagrantish.provider.choice import suited, this_host
from vagrantish.provider.registry import AUTO

if TYPE_CHECKING:
    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.model import Box, MachineConfig, Project
    from vagrantish.provider.base import Provider

_NO_UUID = uuid.UUID(int=0)


def argv(
    services: Services, project: Project, name: str, *, provider: str | None = None, op: Op
) -> tuple[str, ...]:
    """What runs now, word for word; for a halted machine what the next up would run.

    ``provider`` asks for the command of another hypervisor, which need not be on this host, nor
    need the machine be created: what only a created one has then stands there as zeros. Raises
    MachineNotFound for one that is not, without ``provider``.
    """
    view = look.look(services.home, project.root, name)
    machine = next(m for m in project.machines if m.name == name)
    if provider is not None:
        return _assumed(services, project, machine, view.record, provider, op=op)
    if view.record is None:
        raise MachineNotFound(
            f"machine {name} is not created yet, so its disk and sockets have no paths",
            hint=f"Run `vx up {name}` first, or ask for one provider's command: `--provider qemu`.",
        )
    if view.process is not None:
        words = proc.arguments(view.process.pid)
        if words:
            return words
    box = resolve_box(services, machine.box, op=op)
    hypervisor = hypervisors.probe(services, machine, view.record, op=op)
    vm = boot.plan_vm(services, machine, box, view.record, hypervisor.provider)
    return hypervisor.provider.argv(vm, hypervisor.host)


def _assumed(
    services: Services,
    project: Project,
    machine: MachineConfig,
    record: Record | None,
    name: str,
    *,
    op: Op,
) -> tuple[str, ...]:
    if name == AUTO:
        name = suited(this_host())[0]
    provider = services.provider(name)
    box = resolve_box(services, machine.box, op=op)
    if record is None:
        op.note(f"machine {machine.name} is not created yet: its id and UUID are shown as zeros")
        record = _imagined(project, machine, box, provider)
    vm = boot.plan_vm(services, machine, box, record, provider)
    return provider.argv(vm, provider.assumed(getattr(machine, name)))


def _imagined(project: Project, machine: MachineConfig, box: Box, provider: Provider) -> Record:
    return Record(
        id=_NO_UUID.hex[:8],
        uuid=str(_NO_UUID),
        name=machine.name,
        project=str(project.root),
        provider=provider.name,
        mac=hypervisors.new_mac(provider, _NO_UUID),
        created_at="",
        user=user_of(machine, box),
        box=box_fields(box, machine),
    )
