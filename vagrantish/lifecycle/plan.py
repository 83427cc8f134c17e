"""What ``vx up`` would do, without doing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.lifecycle import look, provisioning
from vagrantish.lifecycle.boxes import stored_box
from vagrantish.lifecycle.up import with_needed
from vagrantish.model import BoxParts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagrantish.lifecycle.services import Services
    from vagrantish.lifecycle.up import UpOptions
    from vagrantish.model import MachineConfig, Project


def plan(
    services: Services, project: Project, machines: Sequence[MachineConfig], options: UpOptions
) -> tuple[tuple[str, str], ...]:
    """(machine, action) in the order of doing. Touches no guest. Raises what ``up`` would."""
    provisioning.check_only(machines, options.only)
    return tuple(
        (machine.name, action)
        for machine in with_needed(services, project, machines)
        for action in _actions(services, project, machine, options)
    )


def _actions(
    services: Services, project: Project, machine: MachineConfig, options: UpOptions
) -> tuple[str, ...]:
    view = look.look(services.home, project.root, machine.name)
    actions = []
    if view.process is None:
        box = machine.box
        if not isinstance(box, BoxParts) and stored_box(services, box) is None:
            actions.append(f"get box {box}")
        if view.record is None:
            actions.append(f"create from {'its own files' if isinstance(box, BoxParts) else box}")
        actions.append("boot")
    elif view.state == look.BOOTING:
        actions.append("go on waiting for its boot")
    if not options.provision:
        return tuple(actions)
    fresh = view.record is None or (view.process is None and view.record.volatile)
    if view.record is None or fresh:
        due = provisioning.all_steps(machine, only=options.only)
    else:
        due = provisioning.due_steps(
            services, machine, view.record, only=options.only, force=options.force
        )
    actions += [f"provision {planned.step.name} ({planned.reason})" for planned in due]
    return tuple(actions)
