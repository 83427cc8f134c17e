"""Extensions for a Tiny Core of the user's own: those on its ISO, else the published ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.box import boxfile
from vagrantish.box.import_job import check_space
from vagrantish.box.ingest import StagedExtension, take
from vagrantish.box.intake import Intake
from vagrantish.box.members import Pieces
from vagrantish.model import ArtifactKind, BoxRef, Extension, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vagrantish.box.import_job import Given, Job
    from vagrantish.formats.volume import Volume
    from vagrantish.paths import VxHome

_SHELF = "cde/optional"
_DOORS = ("openssh.tcz", "dropbear.tcz")  # either lets vx in
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,123}\.tcz")
_COUNT_MAX = 64
_SIZE_MAX = 1 << 30
_DEPENDENCIES_MAX = 64 << 10  # bytes of a list


@dataclass(frozen=True, kw_only=True)
class Brought:
    staged: tuple[StagedExtension, ...] = ()  # in the order they are loaded
    sources: tuple[Source, ...] = ()
    whence: str = ""  # for people


def on_iso(volume: Volume, given: Given, job: Job) -> Brought:
    """openssh or dropbear with what they depend on, where the ISO has them.

    Raises ImageError, BoxError, HostError.
    """
    names = frozenset(volume.names(_SHELF))
    door = next((name for name in _DOORS if name in names), None)
    if door is None:
        return Brought()

    def needed_by(name: str) -> list[str]:
        path = f"{_SHELF}/{name}.dep"
        return dependencies(_text(volume, path), names) if f"{name}.dep" in names else []

    staged = tuple(_take(volume, name, given, job) for name in in_order(door, needed_by))
    sources = tuple(
        source for item in staged for source in given.source(item.name, f"{_SHELF}/{item.name}")
    )
    return Brought(staged=staged, sources=sources, whence="from it")


def dependencies(text: str, there: Iterable[str]) -> list[str]:
    """What a .dep file names and the ISO has; KERNEL stands for the kernel's release there."""
    found = []
    for word in text.split():
        pattern = re.escape(word).replace("KERNEL", r"[0-9][^/]*")
        found += [name for name in there if _NAME.fullmatch(name) and re.fullmatch(pattern, name)]
    return found


def in_order(first: str, needed_by: Callable[[str], Sequence[str]]) -> tuple[str, ...]:
    """``first`` after all it needs, each once; what goes round in circles is cut."""
    done: dict[str, None] = {}
    begun: set[str] = set()
    waiting = [first]
    while waiting:
        name = waiting[-1]
        missing = (
            [need for need in needed_by(name) if need not in begun] if name not in done else []
        )
        begun.add(name)
        if missing and len(begun) < _COUNT_MAX:
            waiting.append(missing[0])
        else:
            done[waiting.pop()] = None
    return tuple(done)


def published(version: str, job: Job, *, narrow: bool) -> Brought:
    """Those a definition of tinycore has for the series of ``version``.

    ``narrow``: of the 32-bit edition. Raises FetchError, DigestMismatch, BoxError, HostError.
    """
    series = version.partition(".")[0]
    asked = f"{series}-x86" if narrow else series
    release = job.release(BoxRef(name="tinycore", version=asked), "x86_64")
    if release is None or not release.extensions:
        return Brought()
    staged, sources = [], []
    for name, remote in release.extensions.items():
        intake = Intake(remote, home=job.home, folder=job.folder, max_bytes=_SIZE_MAX, name=name)
        intake.fetch(job.op)
        staged.append(intake.staged_extension(name))
        pinned = str(remote.digest) if remote.digest else ""
        sources.append(Source(part=name, url=remote.urls[0], fetched=intake.fetched, pinned=pinned))
    return Brought(
        staged=tuple(staged), sources=tuple(sources), whence=f"as published for {series}.x"
    )


def extensions_of(staged: Iterable[StagedExtension], home: VxHome) -> tuple[Extension, ...]:
    """What staged ones will be once the store keeps them."""
    return tuple(
        Extension(
            name=item.name,
            digest=item.digest,
            size_bytes=item.size_bytes,
            path=boxfile.artifact_path(home, item.digest),
        )
        for item in staged
    )


def _take(volume: Volume, name: str, given: Given, job: Job) -> StagedExtension:
    path = f"{_SHELF}/{name}"
    label = f"{path} in {given.label}"
    node = volume.find(path)
    size = node.size if node else 0
    check_space(job.folder, size, label)
    content = Pieces(volume.chunks(path, most=_SIZE_MAX))
    with job.op.step("box:unpack", f"Unpacking {label}") as step:
        item = take(
            ArtifactKind.INITRD, content, job.folder / f"extension-{name}",
            label=label, size_bytes=size, expected=None, step=step,
        )  # fmt: skip
    return StagedExtension(
        name=name, path=item.path, digest=item.digest, size_bytes=item.size_bytes
    )


def _text(volume: Volume, path: str) -> str:
    return volume.read(path, most=_DEPENDENCIES_MAX).decode("utf-8", "replace")
