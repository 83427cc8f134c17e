"""From a published release to a box in the store: fetch, unpack, look inside, check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.box import boxfile, checks, ondisk
from vagrantish.box.intake import Intake
from vagrantish.errors import BoxError, HostError
from vagrantish.files import staging
from vagrantish.model import ArtifactKind, Box, BoxRef, Extension, Source
from vagrantish.workers import gather

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vagrantish.box.ingest import Staged, StagedExtension
    from vagrantish.box.store import BoxStore
    from vagrantish.events import Op
    from vagrantish.model import Part, Release, Remote
    from vagrantish.paths import VxHome

_EXTENSION_MAX = 1 << 30
_AT_ONCE = 4  # downloads


def obtain(store: BoxStore, home: VxHome, release: Release, *, force: bool, op: Op) -> Box:
    """Raises BoxError, FetchError, DigestMismatch, HostError; see `BoxStore.obtain`."""
    from vagrantish.locks import hold

    ref = BoxRef(name=release.name, version=release.version)
    what = f"the adding of {ref}"
    with hold(home.locks / f"add-{release.name}-{release.version}-{release.arch}.lock",
              what=what, op=op):  # fmt: skip
        there = _whole(store, ref, release.arch)
        if there is not None and not force:
            return there
        with staging(home.tmp) as folder:
            taken = _take_all(release, home, folder, op)
            try:
                with op.step("box:add", f"Adding {ref}") as step:
                    box, staged = _assemble(release, taken, home, folder, op)
                    _tell_what_changed(there, box, op)
                    published = store.publish(box, staged, force=force, op=op)
                    step.outcome = f"added {box.label}"
            except (HostError, OSError):
                for intake in taken.values():
                    intake.give_back()
                raise
        for intake in taken.values():
            intake.discard()
        return published


def _tell_what_changed(before: Box | None, box: Box, op: Op) -> None:
    """Nothing else vouches for a file that was taken as it came the first time."""
    known = {source.url: source.fetched.sha256 for source in before.sources} if before else {}
    for source in box.sources:
        old = known.get(source.url, source.fetched.sha256)
        if old != source.fetched.sha256:
            op.warn(
                f"{source.url} is another file than before: it was sha256:{old}, "
                f"and now is sha256:{source.fetched.sha256}"
            )


def _whole(store: BoxStore, ref: BoxRef, arch: str) -> Box | None:
    """The box when all of it is there; a damaged one is fetched again."""
    try:
        found = store.get(ref, arch)
    except BoxError:
        return None
    return found if found is not None and found.version == ref.version else None


def _take_all(release: Release, home: VxHome, folder: Path, op: Op) -> Mapping[Remote, Intake]:
    """Every download of the release, several at once; what promises differ in is got for each."""
    wanted: dict[Remote, Intake] = {}
    for kind, part in release.parts.items():
        # What else lies in an archive may be as big as a disk.
        most = checks.size_limit(ArtifactKind.DISK if part.member else kind)
        intake = wanted.setdefault(
            part.remote,
            Intake(part.remote, home=home, folder=folder, max_bytes=most, name=str(kind)),
        )
        if kind is ArtifactKind.DISK and not part.member:
            intake.unpack_as_it_comes()
    for name, remote in release.extensions.items():
        wanted[remote] = Intake(
            remote, home=home, folder=folder, max_bytes=_EXTENSION_MAX, name=name
        )
    gather([intake.fetch for intake in wanted.values()], at_once=_AT_ONCE, op=op)
    return wanted


def _assemble(
    release: Release, taken: Mapping[Remote, Intake], home: VxHome, folder: Path, op: Op
) -> tuple[Box, tuple[Staged | StagedExtension, ...]]:
    staged: list[Staged] = []
    sources: list[Source] = []
    for kind, part in release.parts.items():
        intake = taken[part.remote]
        label = f"the {kind} {intake.label(part.member)}"
        item = intake.staged(kind, part.member, label=label, op=op)
        item = checks.checked(item, label=label, cmdline=release.cmdline, arch=release.arch, op=op)
        staged.append(item)
        sources.append(_source(kind, part, intake))
    seen = None
    if release.disk_boots:
        disk = next(item for item in staged if item.kind is ArtifactKind.DISK)
        hint = ondisk.root_of(release.cmdline)
        label = f"{release.name}@{release.version}"
        seen, found = ondisk.take_boot_files(
            disk.path, folder, root=hint, label=label, arch=release.arch, op=op
        )
        staged += [item for item in found if item.kind not in release.parts]
    extensions, extension_sources = _extensions(release.extensions, taken)
    box = Box(
        name=release.name,
        version=release.version,
        arch=release.arch,
        artifacts=boxfile.artifacts_of(staged, home),
        cmdline=release.cmdline,
        user=release.user,
        seed=release.seed,
        root=release.root,
        console=release.console,
        cpu_level=release.cpu_level,
        origin=sources[0].fetched.url,
        description=release.description,
        defaults=release.defaults,
        extensions=tuple(
            Extension(
                name=item.name,
                digest=item.digest,
                size_bytes=item.size_bytes,
                path=boxfile.artifact_path(home, item.digest),
            )
            for item in extensions
        ),
        disk_boots=release.disk_boots,
        disk_cmdline=seen.cmdline if seen else "",
        kernel_release=seen.release if seen else "",
        sources=(*sources, *extension_sources),
        boot=release.boot,
    )
    return box, (*staged, *extensions)


def _extensions(
    wanted: Mapping[str, Remote], taken: Mapping[Remote, Intake]
) -> tuple[list[StagedExtension], list[Source]]:
    staged, sources = [], []
    for name, remote in wanted.items():
        intake = taken[remote]
        staged.append(intake.staged_extension(name))
        sources.append(_source_of(name, remote, intake, ""))
    return staged, sources


def _source(kind: ArtifactKind, part: Part, intake: Intake) -> Source:
    return _source_of(str(kind), part.remote, intake, part.member)


def _source_of(part: str, remote: Remote, intake: Intake, member: str) -> Source:
    return Source(
        part=part,
        url=remote.urls[0],
        fetched=intake.fetched,
        member=member,
        pinned=str(remote.digest) if remote.digest else "",
    )
