"""``vx fetch``: boxes and remote scripts, so that ``vx up`` works without a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.lifecycle import locking, scripts
from vagrantish.lifecycle.boxes import resolve_box
from vagrantish.model import BoxParts, BoxRef

if TYPE_CHECKING:
    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.model import Box, Project


@dataclass(frozen=True, kw_only=True)
class Got:
    boxes: tuple[str, ...]
    scripts: tuple[str, ...]


def fetch_all(services: Services, project: Project, *, op: Op) -> Got:
    """Raises BoxError, FetchError, LockMismatch, HostError."""
    locking.check_scripts(services, project.machines)
    found: dict[BoxRef | str, Box] = {}
    for machine in project.machines:
        key = repr(machine.box) if isinstance(machine.box, BoxParts) else machine.box
        if key not in found:
            found[key] = resolve_box(services, machine.box, op=op)
    locking.remember(services, found.values())
    if not services.pins.insisted:
        named = {key: box for key, box in found.items() if isinstance(key, BoxRef)}
        locking.add_missing(services, project.machines, named, op=op)
    wanted = locking.scripts_of(project.machines)
    for script in wanted:
        scripts.get(services.home, script.url, script.digest, op=op)
    return Got(
        boxes=tuple(box.label for box in found.values()),
        scripts=tuple(script.url for script in wanted),
    )
