"""Which machines ``halt``, ``destroy`` and ``status`` mean: also those the Xhyvefile lost."""

from __future__ import annotations

from pathlib import Path

from vagrantish.machine.store import MachineStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagrantish.cli.app import App
    from vagrantish.machine.record import Record


class Place:
    """A machine: its project and name, and its id where it was given by that."""

    __slots__ = ("machine_id", "name", "root")

    def __init__(self, root: Path, name: str, machine_id: str | None = None) -> None:
        self.root = root
        self.name = name
        self.machine_id = machine_id


def left_over(app: App) -> tuple[Record, ...]:
    """Machines this project made that its Xhyvefile no longer has."""
    names = {machine.name for machine in app.machine_names()}
    return MachineStore(app.home).left_over(app.xhyvefile().parent, names)


def places(app: App, words: Sequence[str]) -> list[Place]:
    """Machines by name, pattern, or id as ``vx global-status`` shows it; no word means every
    machine of the Xhyvefile.

    Those it lost must be named: another settings file of the same folder may have them. An id
    needs no Xhyvefile. Raises MachineNotFound.
    """
    store = MachineStore(app.home)
    by_id = {word: record for word in words if (record := store.by_id(word)) is not None}
    chosen = [Place(Path(r.project), r.name, r.id) for r in by_id.values()]
    patterns = [word for word in words if word not in by_id]
    if words and not patterns:
        return chosen
    beside = [record.name for record in left_over(app)] if patterns else []
    root = app.xhyvefile().parent
    names = app.select(patterns, everything=True, beside=beside)
    return [Place(root, name) for name in names] + chosen
