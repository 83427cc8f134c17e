"""The disk of a tar archive: of a Vagrant box, or one that lies there alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.box import import_kinds, import_tar, vagrantbox
from vagrantish.box.fields import shown
from vagrantish.box.import_disk import Disk
from vagrantish.box.import_job import named
from vagrantish.box.vagrantbox import METADATA, VAGRANTFILE, VagrantError
from vagrantish.errors import BoxError
from vagrantish.model import ArtifactKind

if TYPE_CHECKING:
    from vagrantish.box.import_job import Given, Job
    from vagrantish.box.import_tar import Contents
    from vagrantish.box.ingest import Staged

_FOREIGN = (".vmdk", ".vhdx", ".vhd", ".vdi", ".ovf")  # of other hypervisors
_VAGRANT_MARKS = frozenset((METADATA, VAGRANTFILE, "box.ovf"))


def disk_of(contents: Contents, given: Given, job: Job) -> Disk:
    """Raises BoxError, HostError."""
    if _VAGRANT_MARKS.isdisjoint(contents.names):
        return _lone_disk(contents, given, job)
    try:
        return _vagrant_disk(contents, given, job)
    except VagrantError as error:
        raise vagrantbox.refused(given.label, error) from error


def _lone_disk(contents: Contents, given: Given, job: Job) -> Disk:
    disks = {name: item for name, item in contents.staged.items() if item.kind is ArtifactKind.DISK}
    foreign = [name for name in contents.names if name.lower().endswith(_FOREIGN)]
    if not disks and foreign:
        raise BoxError(
            f"{given.label} is a tar archive with {shown(foreign[0])}, a disk of another "
            "hypervisor's, which vx does not read",
            hint="Unpack it, and convert the disk: `qemu-img convert -O qcow2 DISK DISK.qcow2`.",
        )
    if len(disks) != 1:
        many = f"{len(disks)} disk images" if disks else "no disk image"
        raise BoxError(
            f"{given.label} is a tar archive with {many}: {vagrantbox.listing(contents.names)}",
            hint="A box is made of an archive with a box.toml, of a Vagrant box, or of one with a "
            "single disk, such as disk.raw.",
        )
    ((name, staged),) = disks.items()
    return _disk(name, staged, given, job, "in a tar archive")


def _vagrant_disk(contents: Contents, given: Given, job: Job) -> Disk:
    metadata = vagrantbox.parse_metadata(contents.texts.get(METADATA, b"{}"))
    parts = vagrantbox.parts(metadata, contents.names)
    missing = frozenset(parts.values()) - set(contents.staged)
    if missing:
        # Its name is not like a disk's, and was known too late to take it when it came by.
        again = import_tar.contents_of(given, job, wanted=missing)
        contents = replace(contents, staged=contents.staged | again.staged)
    name = parts[ArtifactKind.DISK]
    disk = _disk(
        name, contents.staged[name], given, job, f"of a Vagrant box for {metadata.provider}"
    )
    xhyve = metadata.provider == "xhyve"
    return replace(
        disk,
        user=vagrantbox.ssh_user(contents.texts.get(VAGRANTFILE, b"")),
        arch=metadata.arch or ("x86_64" if xhyve else ""),
        cmdline=vagrantbox.XHYVE_CMDLINE if xhyve else "",
        boot_files=tuple(
            contents.staged[file] for kind, file in parts.items() if kind is not ArtifactKind.DISK
        ),
        must_have_cloud_init=True,
    )


def _disk(name: str, staged: Staged, given: Given, job: Job, where: str) -> Disk:
    label = f"{shown(name)} in {given.label}"
    found = import_kinds.look(staged.path)
    if found.kind not in (import_kinds.Kind.QCOW2, import_kinds.Kind.RAW):
        raise import_kinds.refused(found, label)
    box_name, version = named(given, job.wishes)
    return Disk(
        staged=staged,
        label=label,
        what=f"{found.what} {where}",
        member=name,
        name=box_name,
        version=version,
        description=given.description,
    )
