"""What goes into a project's lock: its boxes, for every architecture, and its remote scripts."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vagrantish.errors import BoxError
from vagrantish.lifecycle.boxes import get_box, host_arch, resolve_box
from vagrantish.lifecycle.pins import LockMismatch
from vagrantish.model import (
    BoxRef,
    Lock,
    LockedBoot,
    LockedBox,
    LockedFile,
    LockedScript,
    ShellStep,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from vagrantish.box.catalog import Catalog
    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.model import Box, MachineConfig, Project, Release, Remote


@dataclass(frozen=True, kw_only=True)
class Change:
    """One box whose locked version is another now; "" where there was or is none."""

    name: str
    asked: str
    before: str
    after: str


def add_missing(
    services: Services, machines: Sequence[MachineConfig], boxes: Mapping[BoxRef, Box], *, op: Op
) -> None:
    """Note in the lock what is booted and not in it yet. A folder that cannot be written is told."""
    pins = services.pins
    if pins.path is None:
        return
    entries = [
        entry
        for ref, box in boxes.items()
        if pins.lock.box(ref.name, ref.version, host_arch()) is None
        for entry in _entries(services, ref, box, op=op)
    ]
    scripts = [script for script in scripts_of(machines) if script not in pins.lock.scripts]
    if not entries and not scripts:
        return
    urls = {script.url for script in scripts}
    with _held(services, op=op) as lock:
        new = [box for box in entries if lock.box(box.name, box.asked, box.arch) is None]
        kept = [script for script in lock.scripts if script.url not in urls]
        _write(
            services,
            Lock(boxes=(*lock.boxes, *new), scripts=(*kept, *scripts)),
            on_failure=lambda text: op.warn(f"the lock is not kept: {text}"),
        )


@contextmanager
def _held(services: Services, *, op: Op) -> Iterator[Lock]:
    """The lock as it is now, and no other vx changes it meanwhile."""
    from vagrantish.locks import hold

    pins = services.pins
    assert pins.path is not None
    name = hashlib.sha256(os.fsencode(pins.path)).hexdigest()[:16]
    with hold(services.home.locks / f"project-{name}.lock", what=str(pins.path), op=op):
        yield pins.read_again()


def remember(services: Services, boxes: Iterable[Box]) -> None:
    """So that `vx box prune` keeps what this project boots."""
    from vagrantish.box import projects

    for box in boxes:
        services.boxes.used(box)
    path = services.pins.path
    if path is not None:
        projects.note(services.home, path.parent, lock_name=path.name)


def relock(
    services: Services, project: Project, *, update: Collection[str] | None, op: Op
) -> tuple[Change, ...]:
    """Make the lock fit the project: what is missing is added, what nothing asks for is dropped.

    ``update`` names boxes that move to the newest version their Xhyvefile allows; an empty one
    means all of them, None none. Raises BoxError, FetchError, HostError; the lock is then as it
    was.
    """
    with _held(services, op=op) as old:
        return _relock(services, project, old, update, op)


def _relock(
    services: Services, project: Project, old: Lock, update: Collection[str] | None, op: Op
) -> tuple[Change, ...]:
    refs = _refs(project.machines)
    unknown = set(update or ()) - {ref.name for ref in refs}
    if unknown:
        raise BoxError(
            f"the project has no box {', '.join(sorted(unknown))}",
            hint=f"It has {', '.join(sorted({ref.name for ref in refs})) or 'none with a name'}.",
        )
    entries: list[LockedBox] = []
    for ref in refs:
        moving = update is not None and (not update or ref.name in update)
        there = [box for box in old.boxes if (box.name, box.asked) == (ref.name, ref.version or "")]
        kept = [] if moving else there
        entries += kept
        if any(box.arch == host_arch() for box in kept):
            continue
        box = get_box(services, ref, op=op) if moving else resolve_box(services, ref, op=op)
        # Those of another architecture may boot what is kept already.
        arches = {box.arch for box in kept}
        entries += [e for e in _entries(services, ref, box, op=op) if e.arch not in arches]
    remember(services, ())
    new = Lock(boxes=tuple(entries), scripts=scripts_of(project.machines))
    _write(services, new, on_failure=None)
    return _changes(old, new)


def check_scripts(services: Services, machines: Sequence[MachineConfig]) -> None:
    """Raises LockMismatch when it is insisted on a lock that has other scripts."""
    pins = services.pins
    if not pins.insisted or pins.path is None:
        return
    locked = {script.url: script.digest for script in pins.lock.scripts}
    for script in scripts_of(machines):
        found = locked.get(script.url)
        if found != script.digest:
            raise LockMismatch(
                f"the script {script.url} is not the one in {pins.path.name}: "
                f"expected {found or 'none'}, found {script.digest}",
                hint="Run `vx lock` and commit what it writes.",
            )


def scripts_of(machines: Iterable[MachineConfig]) -> tuple[LockedScript, ...]:
    """The provisioning scripts that come from the web, each once."""
    found = {
        step.url: LockedScript(url=step.url, digest=step.digest)
        for machine in machines
        for step in machine.steps
        if isinstance(step, ShellStep) and step.url is not None and step.digest is not None
    }
    return tuple(found[url] for url in sorted(found))


def _refs(machines: Iterable[MachineConfig]) -> tuple[BoxRef, ...]:
    return tuple(dict.fromkeys(m.box for m in machines if isinstance(m.box, BoxRef)))


def _entries(services: Services, ref: BoxRef, box: Box, *, op: Op) -> Iterator[LockedBox]:
    """The box as it is here, and as the catalogs have it for other architectures."""
    from vagrantish.lifecycle.catalogs import open_catalog

    catalog = open_catalog(services.home, services.env, op=op) if box.sources else None
    is_known = catalog is not None and catalog.published(box.name) is not None
    here = LockedBox(
        name=box.name,
        asked=ref.version or "",
        arch=box.arch,
        version=box.version,
        files=tuple(_files(box)),
        boots=_boots(box) if box.sources and not is_known else None,
    )
    yield here
    if catalog is None or not is_known:
        return
    for release in _elsewhere(catalog, ref, box):
        files = tuple(_released(release))
        if all(file.digest.hex for file in files):
            yield replace(here, arch=release.arch, version=release.version, files=files)


def _files(box: Box) -> Iterator[LockedFile]:
    if not box.sources:
        for part, file in box.files.items():
            yield LockedFile(part=part, digest=file.digest, size_bytes=file.size_bytes)
    from vagrantish.box.reference import parse_digest

    for source in box.sources:
        yield LockedFile(
            part=source.part,
            url=source.url,
            member=source.member,
            size_bytes=source.fetched.size_bytes,
            digest=parse_digest(f"sha256:{source.fetched.sha256}"),
        )


def _boots(box: Box) -> LockedBoot:
    return LockedBoot(
        user=box.user,
        seed=box.seed,
        root=box.root,
        cmdline=box.cmdline,
        console=box.console,
        cpu_level=box.cpu_level,
        disk_boots=box.disk_boots,
        boot=box.boot,
    )


def _elsewhere(catalog: Catalog, ref: BoxRef, box: Box) -> Iterator[Release]:
    from vagrantish.box.definition import ARCHES

    for arch in ARCHES:
        if arch == box.arch:
            continue
        for version in (box.version, ref.version):
            try:
                yield catalog.find(BoxRef(name=ref.name, version=version), arch)
            except BoxError:
                continue
            break


def _released(release: Release) -> Iterator[LockedFile]:
    for kind, part in release.parts.items():
        yield _pinned(str(kind), part.remote, part.member)
    for name, remote in release.extensions.items():
        yield _pinned(name, remote, "")


def _pinned(part: str, remote: Remote, member: str) -> LockedFile:
    """Its digest is empty where the definition has none."""
    from vagrantish.model import Digest

    return LockedFile(
        part=part,
        url=remote.urls[0],
        member=member,
        size_bytes=remote.size_bytes,
        digest=remote.digest or Digest(algorithm="sha256", hex=""),
    )


def _write(services: Services, lock: Lock, *, on_failure: Callable[[str], None] | None) -> None:
    from vagrantish.errors import HostError

    try:
        services.pins.write(lock)
    except HostError as error:
        if on_failure is None:
            raise
        on_failure(error.message)


def _changes(old: Lock, new: Lock) -> tuple[Change, ...]:
    arch = host_arch()
    before = {(b.name, b.asked): b.version for b in old.boxes if b.arch == arch}
    after = {(b.name, b.asked): b.version for b in new.boxes if b.arch == arch}
    return tuple(
        Change(name=key[0], asked=key[1], before=before.get(key, ""), after=after.get(key, ""))
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    )
