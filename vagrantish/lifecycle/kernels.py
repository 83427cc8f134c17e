"""Which kernel a machine boots: its box's, or the one its guest has put on the machine's own disk."""

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vagrantish.errors import BoxError
from vagrantish.files import host_errors
from vagrantish.model import ArtifactKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.box.bootdisk import BootChoice, BootDisk
    from vagrantish.events import Op
    from vagrantish.machine.record import Record
    from vagrantish.model import Box, MachineConfig
    from vagrantish.paths import MachineLayout


def follow_disk(
    box: Box, machine: MachineConfig, record: Record, layout: MachineLayout, *, op: Op
) -> None:
    """Look at the machine's disk, take out a kernel that is new on it, and note all in ``record``.

    Where the disk cannot be read the kernel stays the one booted last, and that is told.
    """
    if not box.disk_boots or machine.boot.kernel == "box" or not layout.disk.exists():
        record.kernel = {}
        return
    from vagrantish.formats.device import ImageError

    try:
        with _looked_at(box, layout) as found:
            choice = found.choices()[0]
            _take(found, choice, box, record, layout, op=op)
    except (BoxError, ImageError) as error:
        last = record.kernel.get("release") or box.kernel_release
        op.warn(f"the machine's disk tells no kernel to boot, so it is {last} again: {error}")


@contextmanager
def _looked_at(box: Box, layout: MachineLayout) -> Iterator[BootDisk]:
    from vagrantish.box import ondisk
    from vagrantish.formats import qcow2
    from vagrantish.formats.disk import open_disk

    label = f"machine {layout.directory.name}"
    root = ondisk.root_of(box.cmdline)
    with host_errors(f"read {layout.disk}"), layout.disk.open("rb") as file:
        is_overlay = file.read(4) == qcow2.MAGIC
    if not is_overlay:
        with ondisk.looked_at(layout.disk, root=root, label=label) as found:
            yield found
        return
    with ondisk.told(label), open_disk(box.artifacts[ArtifactKind.DISK].path) as backing:
        with ondisk.looked_at(layout.disk, root=root, backing=backing, label=label) as found:
            yield found


def _take(
    found: BootDisk,
    choice: BootChoice,
    box: Box,
    record: Record,
    layout: MachineLayout,
    *,
    op: Op,
) -> None:
    digests = {"kernel": _digest(found, choice.kernel, op)}
    digests["initrd"] = _digest(found, choice.initrd, op) if choice.initrd else ""
    known = {**_box_digests(box), "release": box.kernel_release}
    last = record.kernel or known
    noted = {"release": choice.release, "cmdline": choice.cmdline, **digests}
    if digests != _box_digests(box) and digests != {k: last.get(k, "") for k in digests}:
        from vagrantish.box import checks

        for kind, target in (("kernel", layout.kernel), ("initrd", layout.disk_initrd)):
            if not digests[kind]:
                continue
            staged = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
            try:
                found.extract(
                    choice,
                    "kernel" if kind == "kernel" else "initrd",
                    staged,
                    alive=op.cancel.check,
                )
                with host_errors(f"read {staged}"):
                    checks.check_artifact(
                        ArtifactKind(kind), staged, label=f"the {kind} on the machine's disk",
                        cmdline=choice.cmdline, arch=box.arch, op=op,
                    )  # fmt: skip
                    os.replace(staged, target)
            finally:
                staged.unlink(missing_ok=True)
        was = last.get("release", "")
        if choice.release != was:
            op.note(f"its disk has another kernel: {choice.release} (it was {was})")
        else:
            op.note(f"its disk has a new initrd for kernel {choice.release}")
    record.kernel = noted


def _digest(found: BootDisk, path: str, op: Op) -> str:
    from vagrantish.box.bootdisk import INITRD_MAX

    hasher = hashlib.sha256()
    for chunk in found.boot.volume.chunks(path, most=INITRD_MAX):
        op.cancel.check()
        hasher.update(chunk)
    return hasher.hexdigest()


def _box_digests(box: Box) -> dict[str, str]:
    kinds = (ArtifactKind.KERNEL, ArtifactKind.INITRD)
    return {
        str(kind): box.artifacts[kind].digest.hex if kind in box.artifacts else "" for kind in kinds
    }


class BootFiles:
    """What is booted: the box's files, or those of the machine's disk."""

    __slots__ = ("cmdline", "initrd", "kernel")

    def __init__(self, kernel: Path, initrd: Path | None, cmdline: str) -> None:
        self.kernel = kernel
        self.initrd = initrd
        self.cmdline = cmdline  # the disk's own words, "" for a box that knows its own


def boot_files(box: Box, record: Record, layout: MachineLayout) -> BootFiles:
    """As ``record`` has them noted; before the first boot they are the box's."""
    initrd = box.artifacts.get(ArtifactKind.INITRD)
    own = BootFiles(
        box.artifacts[ArtifactKind.KERNEL].path, initrd.path if initrd else None, box.disk_cmdline
    )
    noted = record.kernel
    if not noted:
        return own
    same = all(noted.get(kind, "") == digest for kind, digest in _box_digests(box).items())
    if same:
        return BootFiles(own.kernel, own.initrd, noted.get("cmdline", ""))
    return BootFiles(
        layout.kernel, layout.disk_initrd if noted.get("initrd") else None, noted.get("cmdline", "")
    )
