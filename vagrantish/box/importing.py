"""Makes a box of whatever file or URL it is given, having worked out what that holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vagrantish.box import (
    import_archived,
    import_disk,
    import_iso,
    import_kinds,
    import_tar,
    import_web,
    import_whole,
)
from vagrantish.box.import_catalog import offered
from vagrantish.box.import_job import Given, Job, check_digest, local, named
from vagrantish.box.import_kinds import Kind
from vagrantish.box.import_stage import staged_image, unpacked
from vagrantish.box.store import BoxStore
from vagrantish.errors import UsageError
from vagrantish.files import staging
from vagrantish.model import BootMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.box.import_job import Wishes
    from vagrantish.box.import_kinds import Found
    from vagrantish.box.ingest import Staged, StagedExtension
    from vagrantish.events import Op
    from vagrantish.model import Box, BoxRef, Release
    from vagrantish.paths import VxHome

_FOR_IMAGES = ("arch", "user", "seed", "cmdline", "provider", "boot")  # box.toml says these itself


@dataclass(frozen=True, kw_only=True)
class Request:
    what: str  # a URL, or a path that exists
    wishes: Wishes
    settings: Callable[[BoxRef, str], Release | None]  # as in Job
    release: Callable[[BoxRef, str], Release | None]
    force: bool = False


def add(home: VxHome, request: Request, *, op: Op) -> Box:
    """Raises BoxError, FetchError, DigestMismatch, HostError; the store is then as it was."""
    with staging(home.tmp) as folder:
        job = Job(
            home=home,
            folder=folder,
            wishes=request.wishes,
            settings=request.settings,
            release=request.release,
            op=op,
        )
        given = _given(request.what, job)
        box = _added(given, job, force=request.force)
        if given.download is not None:
            import_web.tell_digest(given.download, given.label, job)
            given.download.discard()
        return box


def _given(what: str, job: Job) -> Given:
    """The file itself: fetched, found in a catalog, and what its digest has to be."""
    wanted = job.wishes.digest
    given = (
        _from_web(what, job)
        if import_web.is_url(what)
        else local(Path(what).expanduser().absolute(), what)
    )
    if given.path.is_dir():
        return given
    if import_kinds.look(given.path).kind is Kind.CATALOG:
        return offered(given, job)
    if wanted is not None and not given.pinned:
        check_digest(given, wanted, job.op)
    return given


def _from_web(url: str, job: Job) -> Given:
    shown = import_web.shown(url)
    if job.wishes.provider or import_web.names_a_catalog(url):
        return import_web.fetched(url, job, None)
    import_web.check(url, job.wishes.digest)
    if import_web.names_a_disk(url):
        named(import_web.given(url, shown), job.wishes)
    return import_web.fetched(url, job, job.wishes.digest)


def _added(given: Given, job: Job, *, force: bool) -> Box:
    store = BoxStore(job.home)
    if given.path.is_dir():
        return _packed(store, given, job, force=force)
    found = import_kinds.look(given.path)
    if found.kind is Kind.COMPRESSED and given.unpacked is None:
        given = unpacked(given, job)
        found = import_kinds.look(given.path)
    made: tuple[Box, tuple[Staged | StagedExtension, ...]]
    if found.kind is Kind.ZIP:
        return _packed(store, given, job, force=force)
    if found.kind is Kind.TAR:
        contents = import_tar.contents_of(given, job)
        if contents.is_packed_box:
            return _packed(store, given, job, force=force)
        made = _of_disk(import_archived.disk_of(contents, given, job), given, job)
    elif found.kind is Kind.ISO and job.wishes.boot in (None, BootMode.KERNEL):
        made = import_iso.box_of(given, job)
    else:
        made = _of_disk(_disk(given, found, job), given, job)
    box, staged = made
    with job.op.step("box:add", f"Adding {box.label}") as step:
        published = store.publish(box, staged, force=force, op=job.op)
        step.outcome = f"added {box.label} for {box.arch}"
    return published


def _of_disk(
    disk: import_disk.Disk, given: Given, job: Job
) -> tuple[Box, tuple[Staged | StagedExtension, ...]]:
    boot = import_whole.mode_of(disk, job)
    if boot is BootMode.KERNEL:
        return import_disk.box_of(disk, given, job)
    return import_whole.box_of(disk, boot, given, job)


def _disk(given: Given, found: Found, job: Job) -> import_disk.Disk:
    if found.kind not in (Kind.QCOW2, Kind.RAW, Kind.ISO):
        raise import_kinds.refused(found, given.label, given.said if given.is_local else "FILE")
    name, version = named(given, job.wishes)
    return import_disk.Disk(
        staged=given.unpacked or staged_image(given, job),
        label=given.label,
        what=f"{found.what}, compressed" if given.unpacked else found.what,
        name=name,
        version=version,
        description=given.description,
    )


def _packed(store: BoxStore, given: Given, job: Job, *, force: bool) -> Box:
    for wish in _FOR_IMAGES:
        if getattr(job.wishes, wish) is not None:
            raise UsageError(
                f"--{wish} is for disk images: {given.label} has a box.toml, which says it itself",
                hint="Change box.toml, or leave the option away.",
            )
    return store.add(
        given.path,
        name=job.wishes.name or given.name or None,
        version=given.version or job.wishes.version,
        force=force,
        origin=given.origin,
        op=job.op,
    )
