"""Raw copies of boxes' qcow2 disks, for hypervisors that take nothing else; safe to delete."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from vagrantish.errors import BoxError, HostError
from vagrantish.files import host_errors, make_dir, move, staging, sync_dir
from vagrantish.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.events import Op
    from vagrantish.model import Artifact
    from vagrantish.paths import VxHome

_SPARE = 64 << 20  # for what a file system keeps beside the data
_STRIDE = 64 << 30  # of the disk, between two looks whether to stop


def copies(home: VxHome) -> Iterator[tuple[Path, str]]:
    """Every raw copy there is, and the digest of the artifact it was made from."""
    try:
        found = sorted(home.raw_copies.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for path in found:
        yield path, f"sha256:{path.name}"


def raw_of(home: VxHome, artifact: Artifact, *, op: Op) -> Path:
    """A raw disk with what ``artifact`` holds: itself, or a copy that is made the first time.

    Raises BoxError when the image is damaged, HostError, Cancelled.
    """
    from vagrantish.box import checks
    from vagrantish.locks import hold

    with host_errors(f"read {artifact.path}"):
        if checks.disk_format(artifact.path) == "raw":
            return artifact.path
    target = home.raw_copies / artifact.digest.hex
    lock = home.locks / f"raw-{artifact.digest.hex[:16]}.lock"
    with hold(lock, what="the raw copy of a disk", op=op):
        if not _is_whole(target, artifact.path):
            _make(home, artifact.path, target, op)
        with suppress(OSError):
            os.utime(target)  # in use just now: `vx box prune` leaves it
    return target


def _is_whole(copy: Path, image: Path) -> bool:
    """It appeared whole; one that is not of this size was cut since."""
    from vagrantish.formats import qcow2

    try:
        return copy.stat().st_size == qcow2.virtual_size(image)
    except (OSError, qcow2.Qcow2Error):
        return False


def _make(home: VxHome, image: Path, target: Path, op: Op) -> None:
    from vagrantish.formats import qcow2
    from vagrantish.formats.qcow2.convert import convert_to_raw

    make_dir(target.parent)
    with (
        op.step("box:raw", "Unpacking the box's disk") as step,
        staging(home.tmp) as folder,
        host_errors(f"write {target}"),
    ):
        staged = folder / "raw"
        try:
            _check_room(target.parent, _data_bytes(image, op))
            convert_to_raw(image, staged, progress=step.progress, alive=op.cancel.check)
        except qcow2.Qcow2Error as error:
            raise BoxError(
                f"the disk image {image} cannot be used: {error}",
                hint="`vx box verify` tells which box it is of.",
            ) from error
        staged.chmod(0o444)
        move(staged, target)
        sync_dir(target.parent)
        step.outcome = f"unpacked {format_size(target.stat().st_blocks * 512)}"


def _data_bytes(image: Path, op: Op) -> int:
    """What is stored in the image, unpacked. Raises Qcow2Error, OSError."""
    from vagrantish.formats.device import FileDevice
    from vagrantish.formats.qcow2.device import Qcow2Device
    from vagrantish.formats.qcow2.tables import Kind

    total = 0
    with FileDevice(image) as file:
        device = Qcow2Device(file)
        for start in range(0, device.size, _STRIDE):
            op.cancel.check()
            for extent in device.extents(start, min(start + _STRIDE, device.size)):
                if extent.kind in (Kind.COMPRESSED, Kind.DATA):
                    total += extent.length
    return total


def _check_room(folder: Path, wanted: int) -> None:
    """Raises HostError before an hour's work ends on a full disk."""
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    if wanted + _SPARE > free:
        raise HostError(
            f"the raw copy of the box's disk takes up to {format_size(wanted)}, and "
            f"{folder} has {format_size(free)} left",
            hint="`vx box prune` frees what nothing needs; or point VX_HOME at a bigger disk.",
        )
