"""Turns a folder or archive into a box whose files lie checked in a staging folder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.box import boxfile, checks, definition, ondisk
from vagrantish.box.ingest import take
from vagrantish.box.source import open_source
from vagrantish.errors import BoxError
from vagrantish.files import make_dir
from vagrantish.model import ArtifactKind, Box, SeedKind

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.box.archive import Source
    from vagrantish.box.definition import Definition
    from vagrantish.box.ingest import Staged
    from vagrantish.events import Op, Step
    from vagrantish.paths import VxHome


def from_source(
    source: Path,
    folder: Path,
    home: VxHome,
    *,
    name: str | None,
    version: str | None,
    origin: str,
    op: Op,
) -> tuple[Box, tuple[Staged, ...]]:
    """Read the box at ``source`` into the staging ``folder``.

    The box names its artifacts where the store will keep them. Raises BoxError, DigestMismatch,
    HostError.
    """
    with (
        op.step("box:add", f"Adding the box {origin or source}") as step,
        open_source(source, op=op) as opened,
    ):
        names, text = opened.scan()
        meant = definition.parse(
            _decoded(text, str(source)), source=str(source), name=name, version=version
        )
        missing = sorted(set(meant.files.values()) - names)
        if missing:
            raise BoxError(
                f"{source} lacks {', '.join(missing)}, which its {definition.FILE_NAME} names",
                hint=f"Put the file in, or correct {definition.FILE_NAME}.",
            )
        staged = _stage(opened, meant, folder, str(source), step)
        box = _box(meant, origin=origin or str(source))
        if meant.disk_boots:
            box, staged = _with_boot_files(box, staged, folder, op)
        box = replace(box, artifacts=boxfile.artifacts_of(staged, home))
        step.outcome = f"added {box.label}"
    return box, staged


def _with_boot_files(
    box: Box, staged: tuple[Staged, ...], folder: Path, op: Op
) -> tuple[Box, tuple[Staged, ...]]:
    """What the disk boots stands in for the kernel and initrd that do not lie beside it."""
    disk = next(item for item in staged if item.kind is ArtifactKind.DISK)
    given = {item.kind for item in staged}
    inside = make_dir(folder / "inside")
    choice, found = ondisk.take_boot_files(
        disk.path, inside, root=ondisk.root_of(box.cmdline), label=box.label, arch=box.arch, op=op
    )
    staged = (*staged, *(item for item in found if item.kind not in given))
    kinds = {item.kind for item in staged}
    if box.seed in (SeedKind.OVERLAY, SeedKind.TINYCORE) and ArtifactKind.INITRD not in kinds:
        raise BoxError(f'seed = "{box.seed}" adds to an initrd, and {box.label} has none')
    box = replace(box, disk_cmdline=choice.cmdline, kernel_release=choice.release)
    return box, staged


def _decoded(data: bytes | None, label: str) -> str:
    if data is None:
        raise BoxError(
            f"{label} holds no {definition.FILE_NAME}",
            hint="docs/boxes.md shows what a box needs.",
        )
    if len(data) > definition.SIZE_MAX:
        raise BoxError(
            f"{definition.FILE_NAME} of {label} is bigger than {definition.SIZE_MAX >> 10} KiB"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BoxError(f"{definition.FILE_NAME} of {label} is not UTF-8 text") from error


def _stage(
    opened: Source, meant: Definition, folder: Path, label: str, step: Step
) -> tuple[Staged, ...]:
    kinds = {file: kind for kind, file in meant.files.items()}
    staged: list[Staged] = []
    for file, size, content in opened.members(frozenset(kinds)):
        kind = kinds[file]
        item = take(
            kind,
            content,
            folder / kind,
            label=f"{file} of {label}",
            size_bytes=size,
            expected=meant.digests.get(kind),
            step=step,
        )
        staged.append(
            checks.checked(
                item, label=f"{file} of {label}", cmdline=meant.cmdline, arch=meant.arch, op=step.op
            )
        )
    return tuple(staged)


def _box(meant: Definition, *, origin: str) -> Box:
    """Without its artifacts."""
    return Box(
        name=meant.name,
        version=meant.version,
        arch=meant.arch,
        artifacts={},
        cmdline=meant.cmdline,
        user=meant.user,
        seed=meant.seed,
        root=meant.root,
        console=meant.console,
        cpu_level=meant.cpu_level,
        origin=origin,
        description=meant.description,
        defaults=meant.defaults,
        disk_boots=meant.disk_boots,
        boot=meant.boot,
    )
