"""A machine's own disk: changes over the box's disk, or an empty one."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

from vagrantish.box import checks
from vagrantish.errors import BoxError, MachineError
from vagrantish.files import host_errors
from vagrantish.formats import qcow2
from vagrantish.model import ArtifactKind
from vagrantish.units import format_size

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.model import Box

_SECTOR = 512


def disk_format(box: Box, size_bytes: int | None) -> str | None:
    """What `prepare_disk` makes of these; None when the machine has no disk."""
    if ArtifactKind.DISK in box.artifacts:
        return "qcow2"
    return "raw" if size_bytes is not None else None


def prepare_disk(box: Box, target: Path, size_bytes: int | None) -> str | None:
    """Make the machine's disk at ``target`` unless it is there; answers its format.

    ``size_bytes`` None is the size of the box's disk. Raises BoxError when the box's disk is
    bigger, MachineError when the disk there has another size, HostError.
    """
    form = disk_format(box, size_bytes)
    if form is None:
        return None
    if target.exists():
        _check_size(target, size_bytes)
        return form
    staged = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    with host_errors(f"make the disk {target}"):
        try:
            if form == "qcow2":
                _make_overlay(box, staged, size_bytes)
            else:
                assert size_bytes is not None
                with staged.open("xb") as file:
                    file.truncate(_whole_sectors(size_bytes))
            staged.chmod(0o600)
            os.replace(staged, target)
        finally:
            staged.unlink(missing_ok=True)
    return form


def _make_overlay(box: Box, staged: Path, size_bytes: int | None) -> None:
    backing = box.artifacts[ArtifactKind.DISK]
    own = _virtual_size(backing.path)
    wanted = own if size_bytes is None else _whole_sectors(size_bytes)
    if wanted < own:
        raise BoxError(
            f"the disk of {box.label} has {format_size(own)}, and a disk cannot be made smaller "
            f"than its box's: {format_size(wanted)} is asked for",
            hint=f'Write disk = "{format_size(own)}" or more, or leave it out.',
        )
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


def _check_size(disk: Path, size_bytes: int | None) -> None:
    if size_bytes is None:
        return
    with host_errors(f"read {disk}"):
        size = _virtual_size(disk)
    if size != _whole_sectors(size_bytes):
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


def _whole_sectors(size_bytes: int) -> int:
    return -(-size_bytes // _SECTOR) * _SECTOR
