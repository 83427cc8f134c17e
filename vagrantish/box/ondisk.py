"""Kernel, initrd and command line that lie inside a disk image, taken out of it."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vagrantish.box import checks
from vagrantish.box.bootdisk import look
from vagrantish.box.ingest import Staged
from vagrantish.errors import BoxError
from vagrantish.files import host_errors
from vagrantish.formats.device import ImageError
from vagrantish.formats.disk import open_disk
from vagrantish.formats.guesttext import printable
from vagrantish.model import ArtifactKind, Digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.box.bootdisk import BootChoice, BootDisk
    from vagrantish.events import Op
    from vagrantish.formats.device import Device
    from vagrantish.model import Box

_CHUNK = 1 << 20


def root_of(cmdline: str) -> str:
    """The last ``root=`` of a command line, as the kernel would take it; "" without one."""
    roots = [word[5:] for word in cmdline.split() if word.startswith("root=")]
    return roots[-1] if roots else ""


def has_grown(box: Box, size_bytes: int | None) -> bool:
    """Whether a machine's disk of that size is bigger than the box's. Raises ImageError, OSError."""
    disk = box.artifacts.get(ArtifactKind.DISK)
    if disk is None or size_bytes is None:
        return False
    with open_disk(disk.path) as device:
        return size_bytes > device.size


@contextmanager
def looked_at(
    disk: Path, *, root: str = "", backing: Device | None = None, label: str
) -> Iterator[BootDisk]:
    """What the image at ``disk`` boots. Raises BoxError naming ``label``."""
    with host_errors(f"read {disk}"), told(label), open_disk(disk, backing=backing) as device:
        yield look(device, root=root)


def shown(error: ImageError) -> str:
    """Its text may quote names that whoever made the image chose."""
    return printable(str(error).encode("utf-8", "replace"))


@contextmanager
def told(label: str) -> Iterator[None]:
    """Turns damage of an image into a BoxError that names it."""
    try:
        yield
    except ImageError as error:
        raise BoxError(
            f"the disk of {label} cannot be looked into: {shown(error)}",
            hint='If it has a boot loader of its own, let that boot it: `mode = "uefi"` under '
            "[boot], or `vx box add --boot uefi`. Else give its kernel and initrd beside it.",
        ) from error


def take_boot_files(
    disk: Path, folder: Path, *, root: str, label: str, arch: str, op: Op
) -> tuple[BootChoice, tuple[Staged, ...]]:
    """Copy out what the disk at ``disk`` boots, checked. Raises BoxError, HostError."""
    with (
        op.step("box:look", f"Looking for the kernel of {label}") as step,
        looked_at(disk, root=root, label=label) as found,
    ):
        choice = found.choices()[0]
        if choice.arch and choice.arch != arch:
            raise BoxError(f"the disk of {label} is for {choice.arch}, not for {arch}")
        for warning in found.warnings:
            op.warn(f"{label}: {warning}")
        kinds = [ArtifactKind.KERNEL] + ([ArtifactKind.INITRD] if choice.initrd else [])
        staged = tuple(take_one(found, choice, kind, folder / kind, op=op) for kind in kinds)
        step.outcome = f"{choice.os_name or 'Linux'}, kernel {choice.release} ({choice.why})"
    names = {ArtifactKind.KERNEL: choice.kernel, ArtifactKind.INITRD: choice.initrd}
    return choice, tuple(
        checks.checked(
            item, label=f"{names[item.kind]} of {label}", cmdline=choice.cmdline, arch=arch, op=op
        )
        for item in staged
    )


def take_one(
    found: BootDisk, choice: BootChoice, kind: ArtifactKind, target: Path, *, op: Op
) -> Staged:
    """Raises ImageError, HostError."""
    found.extract(
        choice,
        "kernel" if kind is ArtifactKind.KERNEL else "initrd",
        target,
        alive=op.cancel.check,
    )
    hasher = hashlib.sha256()
    with host_errors(f"write {target}"), target.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
        os.fsync(file.fileno())
        size = file.tell()
    digest = Digest(algorithm="sha256", hex=hasher.hexdigest())
    return Staged(kind=kind, path=target, digest=digest, size_bytes=size)
