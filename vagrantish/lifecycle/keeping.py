"""What projects and machines need of the box store, and how its boxes stand against the catalogs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.box import projects, versions
from vagrantish.box.upkeep_prune import Needs
from vagrantish.errors import BoxError, ConfigError, HostError, MachineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from vagrantish.box.catalog import Catalog
    from vagrantish.box.releases import Line, Published
    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.machine.record import Record
    from vagrantish.model import Box, Lock, LockedBox, Release


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One line of a box, such as Ubuntu 24.04, as it is here and as the catalogs have it."""

    name: str
    line: str  # "" when no catalog has it
    arch: str
    here: str  # the newest version of the line that is here
    where: str  # "store", or the file name of a lock
    eol: str = ""
    newest: Release | None = None  # None: not known

    @property
    def is_behind(self) -> bool:
        return self.newest is not None and versions.key(self.newest.version) > versions.key(
            self.here
        )


# --- what is needed ------------------------------------------------------------------------


def needs_of(services: Services, *, locks: Iterable[Path] = ()) -> Needs:
    """What machines and the locks of known projects, and ``locks``, need. Raises HostError."""
    records, unclear = _records(services)
    boxes: dict[tuple[str, str, str], str] = {}
    for lock in sorted({*locks, *projects.locks(services.home), *_locks_beside(records)}):
        try:
            locked = read_lock(lock)
        except (ConfigError, HostError) as error:
            unclear.append(f"{lock} cannot be read: {error}")
            continue
        for box in locked.boxes:
            boxes[box.name, box.version, box.arch] = f"{lock} has it"
    for record in records:
        name, _, version = record.box_label.partition("@")
        arch = str(record.box.get("arch"))
        boxes[name, version, arch] = f"{told(record)} was made from it"
    return Needs(
        boxes=boxes,
        digests=frozenset(d for record in records for d in record.artifact_digests.values()),
        unclear=tuple(unclear),
    )


def machine_parts(services: Services) -> dict[str, list[tuple[str, str]]]:
    """By digest, the machines that need an artifact and as what."""
    found: dict[str, list[tuple[str, str]]] = {}
    for record in services.machines.all():
        for part, digest in record.artifact_digests.items():
            found.setdefault(digest, []).append((told(record), part))
    return found


def told(record: Record) -> str:
    return f"machine {record.name} in {record.project}"


def read_lock(path: Path) -> Lock:
    """Empty where there is none. Raises ConfigError, HostError."""
    from vagrantish.lifecycle.pins import Pins

    return Pins(path).lock


def _records(services: Services) -> tuple[list[Record], list[str]]:
    """Every machine's record, and what is wrong with those that cannot be read."""
    from vagrantish.machine.record import is_id, read

    records, wrong = [], []
    try:
        names = sorted(filter(is_id, os.listdir(services.home.machines)))
    except FileNotFoundError:
        names = []
    except OSError as error:
        raise HostError(f"cannot read {services.home.machines}: {error.strerror}") from error
    for name in names:
        try:
            record = read(services.home.machine(name).record)
        except MachineError as error:
            wrong.append(str(error))
            continue
        if record is not None:
            records.append(record)
    return records, wrong


def _locks_beside(records: Iterable[Record]) -> Iterator[Path]:
    from pathlib import Path

    for record in records:
        yield Path(record.project, projects.LOCK_NAME)


# --- what is newer -------------------------------------------------------------------------


def standings(
    boxes: Iterable[Box],
    locked: Iterable[LockedBox],
    catalog: Catalog,
    *,
    lock_name: str,
    op: Op,
) -> tuple[Standing, ...]:
    """One for each line the store has, by its newest version, then one for each locked box."""
    reader = _Reader(catalog, op)
    stored: dict[tuple[str, str, str], Standing] = {}
    for box in boxes:
        found = reader.of_box(box)
        key = (found.name, found.line, found.arch)
        there = stored.get(key)
        if there is None or versions.key(found.here) > versions.key(there.here):
            stored[key] = found
    pinned = (reader.of_lock(box, lock_name) for box in locked)
    return (*(stored[key] for key in sorted(stored)), *pinned)


class _Reader:
    def __init__(self, catalog: Catalog, op: Op) -> None:
        self._catalog = catalog
        self._op = op
        self._told: set[str] = set()

    def of_box(self, box: Box) -> Standing:
        published = self._published(box.name)
        line = _line_of(published, box.version) if published else None
        newest = published.find(line.name, box.arch) if published and line else None
        return Standing(
            name=box.name,
            line=line.name if line else "",
            arch=box.arch,
            here=box.version,
            where="store",
            eol=line.eol if line else "",
            newest=newest,
        )

    def of_lock(self, box: LockedBox, lock_name: str) -> Standing:
        """By what the project asks for: without a version, the default line of the definition."""
        published = self._published(box.name)
        line = _line_of(published, box.version) if published else None
        return Standing(
            name=box.name,
            line=box.asked or (published.default if published else ""),
            arch=box.arch,
            here=box.version,
            where=lock_name,
            eol=line.eol if line else "",
            newest=published.find(box.asked or None, box.arch) if published else None,
        )

    def _published(self, name: str) -> Published | None:
        try:
            return self._catalog.published(name)
        except BoxError as error:
            if name not in self._told:
                self._op.warn(str(error))
            self._told.add(name)
            return None


def _line_of(published: Published, version: str) -> Line | None:
    fitting = [line for line in published.lines if versions.matches(version, line.name)]
    return max(fitting, key=lambda line: len(line.name), default=None)


# --- to bring back -------------------------------------------------------------------------


def fetch_again(services: Services, box: Box, *, op: Op) -> Box:
    """The same files from where they came. Raises BoxError, FetchError, HostError."""
    from vagrantish.box.reference import parse_digest
    from vagrantish.lifecycle.boxes import find_locked
    from vagrantish.model import LockedBox, LockedFile

    files = tuple(
        LockedFile(
            part=source.part,
            url=source.url,
            member=source.member,
            size_bytes=source.fetched.size_bytes,
            digest=parse_digest(f"sha256:{source.fetched.sha256}"),
        )
        for source in box.sources
    )
    locked = LockedBox(
        name=box.name, asked=box.version, arch=box.arch, version=box.version, files=files
    )
    return services.boxes.obtain(find_locked(services, locked, op=op), force=True, op=op)
