"""What state a machine is in, from what runs. Light: it is all of ``vx status``."""

from __future__ import annotations

from vagrantish.machine.store import MachineStore
from vagrantish.provider import running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.machine.record import Record
    from vagrantish.paths import VxHome
    from vagrantish.proc import ProcessIdentity

ABSENT = "not created"
HALTED = "halted"
BOOTING = "booting"  # runs; not known to be ready
RUNNING = "running"  # runs, and was ready once


class View:
    """One look at one machine."""

    __slots__ = ("name", "process", "record", "state")

    def __init__(
        self, name: str, state: str, record: Record | None, process: ProcessIdentity | None
    ) -> None:
        self.name = name
        self.state = state
        self.record = record
        self.process = process


def look(home: VxHome, project_root: Path, name: str) -> View:
    """Raises MachineError when the machine's record is damaged."""
    record = MachineStore(home).find(project_root, name)
    return View(name, ABSENT, None, None) if record is None else look_at(home, record)


def look_at(home: VxHome, record: Record) -> View:
    layout = home.machine(record.id)
    process = running.find(layout)
    if process is None:
        return View(record.name, HALTED, record, None)
    state = RUNNING if running.is_ready(layout) else BOOTING
    return View(record.name, state, record, process)
