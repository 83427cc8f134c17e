"""The project around the working directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.errors import VxError
from vagrantish.lifecycle import look
from vagrantish.lifecycle.boxes import stored_box
from vagrantish.lifecycle.doctor.finding import Finding, Level, ok
from vagrantish.model import BoxRef

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.lifecycle.services import Services
    from vagrantish.model import MachineConfig, Project


def findings(services: Services, project: Project) -> Iterator[Finding]:
    many = "1 machine" if len(project.machines) == 1 else f"{len(project.machines)} machines"
    yield ok("project.xhyvefile", f"{project.file}: {many}")
    wanted = {m.box: m for m in project.machines if isinstance(m.box, BoxRef)}
    for box, machine in wanted.items():
        yield _box(services, box, machine)
    for machine in project.machines:
        yield from _ports(services, project, machine)


def _box(services: Services, box: BoxRef, machine: MachineConfig) -> Finding:
    try:
        stored = stored_box(services, box)
    except VxError as error:
        return Finding(
            id="project.box",
            level=Level.ERROR,
            text=error.message,
            hint=error.hint,
            subject=machine.name,
        )
    if stored is not None:
        return ok("project.box", f"{stored.label} is in the store", subject=machine.name)
    return Finding(
        id="project.box",
        level=Level.NOTE,
        text=f"box {box} is not in the store yet",
        hint="`vx up` gets it; `vx fetch` gets all a project needs in advance.",
        subject=machine.name,
    )


def _ports(services: Services, project: Project, machine: MachineConfig) -> Iterator[Finding]:
    """Ports that may not move and are somebody else's now."""
    from vagrantish.provider import hostports

    if look.look(services.home, project.root, machine.name).process is not None:
        return
    for forward in machine.forwards:
        if forward.auto or forward.host == 0:
            continue
        error = hostports.bind_error(forward)
        if error:
            yield Finding(
                id="project.port",
                level=Level.ERROR,
                text=f"host port {forward.host} of machine {machine.name} is taken by "
                f"{hostports.holder(forward)}",
                hint="End that, write another `host`, or let it move: `auto = true`.",
                subject=machine.name,
            )
