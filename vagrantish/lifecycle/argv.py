"""The hypervisor command of a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish import proc
from vagrantish.errors import MachineNotFound
from vagrantish.lifecycle import boot, look
from vagrantish.lifecycle.boxes import resolve_box
from vagrantish.lifecycle.up import probe

if TYPE_CHECKING:
    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.model import Project


def argv(services: Services, project: Project, name: str, *, op: Op) -> tuple[str, ...]:
    """What runs now, word for word; for a halted machine what the next up would run.

    Raises MachineNotFound for one that was not created: its files have no names yet.
    """
    view = look.look(services.home, project.root, name)
    if view.record is None:
        raise MachineNotFound(
            f"machine {name} is not created yet, so its disk and sockets have no paths",
            hint=f"Run `vx up {name}` first.",
        )
    if view.process is not None:
        words = proc.arguments(view.process.pid)
        if words:
            return words
    machine = next(m for m in project.machines if m.name == name)
    box = resolve_box(services, machine.box, op=op)
    hypervisor = probe(services, machine, op=op)
    vm = boot.plan_vm(services, machine, box, view.record, hypervisor.provider)
    return hypervisor.provider.argv(vm, hypervisor.host)
