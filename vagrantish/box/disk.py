"""A machine's own disk: changes over the box's disk, a clone of it, or an empty one."""

from __future__ import annotations

import os
import uuid
from functools import partial
from typing import TYPE_CHECKING

from vagrantish.box import checks, rawdisk
from vagrantish.errors import BoxError, MachineError
from vagrantish.files import clone, host_errors
from vagrantish.formats import qcow2
from vagrantish.model import ArtifactKind
from vagrantish.units import format_size, whole_sectors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vagrantish.events import Op
    from vagrantish.model import Box
    from vagrantish.paths import VxHome

BOTH = ("qcow2", "raw")


def disk_format(box: Box, size_bytes: int | None, *, formats: Sequence[str] = BOTH) -> str | None:
    """What `prepare_disk` makes of these; None when the machine has no disk."""
    if ArtifactKind.DISK in box.artifacts:
        return "qcow2" if "qcow2" in formats else "raw"
    return "raw" if size_bytes is not None else None


def prepare_disk(
    box: Box,
    target: Path,
    size_bytes: int | None,
    *,
    formats: Sequence[str] = BOTH,
    home: VxHome | None = None,
    op: Op | None = None,
) -> str | None:
    """Make the machine's disk at ``target`` unless it is there; answers its format.

    ``size_bytes`` None is the size of the box's disk. ``formats`` are those the hypervisor
    takes: without "qcow2" the disk is a clone of the box's raw copy, and ``home`` and ``op`` are
    needed. Raises BoxError when the box's disk is bigger, MachineError when the disk there has
    another size or format, HostError, Cancelled.
    """
    form = disk_format(box, size_bytes, formats=formats)
    if form is None:
        return None
    if target.exists():
        _check_there(box, target, form, size_bytes)
        return form
    make: Callable[[Path, int | None], None]
    if form == "qcow2":
        make = partial(_make_overlay, box)
    elif ArtifactKind.DISK in box.artifacts:
        assert home is not None
        assert op is not None
        raw = rawdisk.raw_of(home, box.artifacts[ArtifactKind.DISK], op=op)
        make = partial(_make_clone, box, raw)
    else:
        make = _make_empty
    staged = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    with host_errors(f"make the disk {target}"):
        try:
            make(staged, size_bytes)
            staged.chmod(0o600)
            os.replace(staged, target)
        finally:
            staged.unlink(missing_ok=True)
    return form


def _make_empty(staged: Path, size_bytes: int | None) -> None:
    assert size_bytes is not None
    with staged.open("xb") as file:
        file.truncate(whole_sectors(size_bytes))


def _make_clone(box: Box, raw: Path, staged: Path, size_bytes: int | None) -> None:
    wanted = _wanted_size(box, raw.stat().st_size, size_bytes)
    clone(raw, staged)
    staged.chmod(0o600)  # a clone may be as read-only as the box's disk
    os.truncate(staged, wanted)


def _make_overlay(box: Box, staged: Path, size_bytes: int | None) -> None:
    backing = box.artifacts[ArtifactKind.DISK]
    wanted = _wanted_size(box, _virtual_size(backing.path), size_bytes)
    try:
        qcow2.create_overlay(
            staged,
            backing.path,
            backing_format=checks.disk_format(backing.path),
            virtual_size_bytes=wanted,
        )
    except qcow2.Qcow2Error as error:
        raise BoxError(
            f"cannot make a disk over that of {box.label}: {error}",
            hint="Point VX_HOME at a folder with a shorter path.",
        ) from error


def _wanted_size(box: Box, own: int, size_bytes: int | None) -> int:
    wanted = whole_sectors(own if size_bytes is None else size_bytes)
    if wanted < own:
        raise BoxError(
            f"the disk of {box.label} has {format_size(own)}, and a disk cannot be made smaller "
            f"than its box's: {format_size(wanted)} is asked for",
            hint=f'Write disk = "{format_size(own)}" or more, or leave it out.',
        )
    return wanted


def _check_there(box: Box, disk: Path, form: str, size_bytes: int | None) -> None:
    with host_errors(f"read {disk}"):
        # A disk that began empty is raw, whatever its guest wrote to it.
        empty = ArtifactKind.DISK not in box.artifacts
        found = "raw" if empty else checks.disk_format(disk)
        size = _virtual_size(disk) if found == "qcow2" else disk.stat().st_size
    if found != form:
        raise MachineError(
            f"this machine's disk is a {found} image, and its hypervisor is to be given a {form} one",
            hint="Go back to the provider it was made with, "
            "or make it anew with `vx destroy` and `vx up`.",
        )
    if size_bytes is not None and size != whole_sectors(size_bytes):
        raise MachineError(
            f"this machine's disk was made with {format_size(size)}, and "
            f"{format_size(size_bytes)} is asked for",
            hint=f'Write disk = "{format_size(size)}" again, '
            "or make it anew with `vx destroy` and `vx up`.",
        )


def _virtual_size(path: Path) -> int:
    try:
        if checks.disk_format(path) == "qcow2":
            return qcow2.virtual_size(path)
    except qcow2.Qcow2Error as error:
        raise MachineError(f"the disk {path} is damaged: {error}") from error
    return path.stat().st_size
