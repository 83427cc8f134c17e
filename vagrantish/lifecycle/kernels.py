"""Which kernel a machine boots: its box's, or the one its guest has put on the machine's own disk."""

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from vagrantish.errors import BoxError
from vagrantish.files import host_errors
from vagrantish.model import ArtifactKind, BootMode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from vagrantish.box.bootdisk import BootChoice, BootDisk
    from vagrantish.events import Op
    from vagrantish.machine.record import Record
    from vagrantish.model import Box, MachineConfig
    from vagrantish.paths import MachineLayout


def follow_disk(
    box: Box, machine: MachineConfig, record: Record, layout: MachineLayout, form: str, *, op: Op
) -> None:
    """Look at the machine's disk, take out a kernel that is new on it, and note all in ``record``.

    ``form`` is the format the disk was made with: what its first bytes say is the guest's to
    choose. Where it cannot be read the kernel stays the one booted last, and that is told.
    """
    by_kernel = machine.boot.mode is BootMode.KERNEL
    follows = by_kernel and box.disk_boots and machine.boot.kernel == "disk"
    if not follows or not layout.disk.exists():
        record.kernel = {}
        return
    try:
        with _looked_at(box, layout, form) as found:
            choice = found.choices()[0]
            if choice.arch not in ("", box.arch):
                raise BoxError(f"the kernel on it is for {choice.arch}, not for {box.arch}")
            _take(found, choice, box, record, layout, op=op)
    except BoxError as error:
        last = record.kernel.get("release") or box.kernel_release
        op.warn(
            f"the machine's disk tells no kernel to boot, so it is {last} again: {error.message}"
        )


@contextmanager
def _looked_at(box: Box, layout: MachineLayout, form: str) -> Iterator[BootDisk]:
    """Raises BoxError for damage, HostError."""
    from vagrantish.box import ondisk
    from vagrantish.box.bootdisk import look
    from vagrantish.formats.device import FileDevice
    from vagrantish.formats.disk import open_disk
    from vagrantish.formats.qcow2.device import Qcow2Device

    root = ondisk.root_of(box.cmdline)
    with (
        host_errors(f"read {layout.disk}"),
        ondisk.told(f"machine {layout.directory.name}"),
        FileDevice(layout.disk) as file,
    ):
        if form == "raw":
            yield look(file, root=root)
            return
        with open_disk(box.artifacts[ArtifactKind.DISK].path) as backing:
            yield look(Qcow2Device(file, backing=backing), root=root)


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
    noted = {"release": choice.release, "cmdline": choice.cmdline, **digests}
    last = record.kernel or {**_box_digests(box), "release": box.kernel_release}
    is_new = digests != {kind: last.get(kind, "") for kind in digests}
    files = boot_files(box, record, layout, noted=noted)
    if digests == _box_digests(box) or (not is_new and files.are_there()):
        _check(ArtifactKind.KERNEL, files.kernel, choice, box, op)
    else:
        _copy_out(found, choice, box, layout, op=op)
    was = last.get("release", "")
    if choice.release != was:
        op.note(f"its disk has another kernel: {choice.release} (it was {was})")
    elif is_new:
        op.note(f"its disk has a new initrd for kernel {choice.release}")
    record.kernel = noted


def _copy_out(
    found: BootDisk, choice: BootChoice, box: Box, layout: MachineLayout, *, op: Op
) -> None:
    """Both or neither: a kernel of the disk does not boot with another's initrd."""
    targets = {ArtifactKind.KERNEL: layout.kernel}
    if choice.initrd:
        targets[ArtifactKind.INITRD] = layout.disk_initrd
    staged = {
        kind: target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        for kind, target in targets.items()
    }
    try:
        for kind, path in staged.items():
            what: Literal["kernel", "initrd"] = (
                "kernel" if kind is ArtifactKind.KERNEL else "initrd"
            )
            found.extract(choice, what, path, alive=op.cancel.check)
            _check(kind, path, choice, box, op)
        for kind, path in staged.items():
            with host_errors(f"write {targets[kind]}"):
                os.replace(path, targets[kind])
    finally:
        for path in staged.values():
            path.unlink(missing_ok=True)


def _check(kind: ArtifactKind, path: Path, choice: BootChoice, box: Box, op: Op) -> None:
    from vagrantish.box import checks

    with host_errors(f"read {path}"):
        checks.check_artifact(
            kind, path, label=f"the {kind} on the machine's disk",
            cmdline=choice.cmdline, arch=box.arch, op=op,
        )  # fmt: skip


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

    def are_there(self) -> bool:
        return self.kernel.exists() and (self.initrd is None or self.initrd.exists())


def boot_files(
    box: Box, record: Record, layout: MachineLayout, *, noted: Mapping[str, str] | None = None
) -> BootFiles:
    """As ``record`` has them noted, or ``noted``; before the first boot they are the box's."""
    initrd = box.artifacts.get(ArtifactKind.INITRD)
    own = BootFiles(
        box.artifacts[ArtifactKind.KERNEL].path, initrd.path if initrd else None, box.disk_cmdline
    )
    noted = record.kernel if noted is None else noted
    if not noted:
        return own
    same = all(noted.get(kind, "") == digest for kind, digest in _box_digests(box).items())
    if same:
        return BootFiles(own.kernel, own.initrd, noted.get("cmdline", ""))
    return BootFiles(
        layout.kernel, layout.disk_initrd if noted.get("initrd") else None, noted.get("cmdline", "")
    )
