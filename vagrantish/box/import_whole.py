"""A box out of a disk that firmware or a loader of the host boots, whatever system is on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.box import boxfile, checks, ondisk, reference
from vagrantish.box.fields import ARCHES, shown
from vagrantish.box.import_disk import kin_of, seed_of, settings_of, size_of
from vagrantish.box.import_guest import Guest, guest_of
from vagrantish.box.loaders import loader_arch
from vagrantish.errors import BoxError, UsageError
from vagrantish.files import host_errors
from vagrantish.model import ArtifactKind, BootMode, Box, RootKind, SeedKind
from vagrantish.units import format_size

if TYPE_CHECKING:
    from vagrantish.box.import_disk import Disk
    from vagrantish.box.import_job import Given, Job
    from vagrantish.box.ingest import Staged
    from vagrantish.model import Release

_UNKNOWN = Guest(
    os_id="", os_version="", cloud_init=False, cloud_init_off=False, user="root", user_known=False
)


def mode_of(disk: Disk, job: Job) -> BootMode:
    """As the user says, else as the catalogs do of a box of that name."""
    if job.wishes.boot is not None:
        return job.wishes.boot
    known = settings_of(disk, _UNKNOWN, _arch(disk, job), job)
    return known.boot if known else BootMode.KERNEL


def box_of(disk: Disk, boot: BootMode, given: Given, job: Job) -> tuple[Box, tuple[Staged, ...]]:
    """Raises BoxError, UsageError, HostError. What cannot be seen of the system in it is left to the user."""
    wishes = job.wishes
    with host_errors(f"read {disk.staged.path}"):
        checks.check_artifact(
            ArtifactKind.DISK, disk.staged.path, label=disk.label, cmdline="", op=job.op
        )
    if wishes.cmdline is not None:
        raise UsageError(
            f"--cmdline is for a kernel vx starts, and {disk.label} starts its own",
            hint="Leave it away, and set it in the guest's boot loader.",
        )
    arch = loader_arch(disk.staged.path) or _arch(disk, job)
    if arch not in ARCHES:
        raise BoxError(f"{disk.label} is for {shown(arch)}; vx boots {' and '.join(ARCHES)}")
    if wishes.arch not in (None, arch):
        raise BoxError(f"{disk.label} is for {arch}, not for {wishes.arch}")
    guest = _guest(disk)
    settings = settings_of(disk, guest, arch, job)
    kin = settings or kin_of(guest, arch, job)
    seed = seed_of(disk, guest, wishes, settings)
    if seed in (SeedKind.OVERLAY, SeedKind.TINYCORE):
        raise BoxError(
            f'seed "{seed}" adds to an initrd, and {disk.label} loads its own',
            hint='Take "cloud-init" where the system has it, else "none".',
        )
    user = wishes.user or disk.user or (settings.user if settings else guest.user)
    if not guest.user_known and not (wishes.user or disk.user or settings):
        job.op.warn(f"nothing in {disk.label} tells its user: root is assumed; --user says another")
    job.op.note(_told(disk, guest, boot, seed, user))
    box = Box(
        name=disk.name,
        version=disk.version,
        arch=arch,
        artifacts=boxfile.artifacts_of((disk.staged,), job.home),
        cmdline="",
        user=user,
        seed=seed,
        root=RootKind.DISK,
        console=settings.console if settings else "ttyS0",
        cpu_level=kin.cpu_level if kin else "x86-64-v1",
        origin=given.origin,
        description=disk.description or (settings.description if settings else ""),
        defaults=_defaults(kin),
        sources=given.source(ArtifactKind.DISK, disk.member),
        boot=boot,
    )
    return box, (disk.staged,)


def _arch(disk: Disk, job: Job) -> str:
    return disk.arch or job.wishes.arch or reference.host_arch()


def _guest(disk: Disk) -> Guest:
    """Of a Linux on a file system that vx reads; of all else nothing is known."""
    try:
        with ondisk.looked_at(disk.staged.path, label=disk.label) as opened:
            assert opened.root.volume is not None, "a root has a volume"
            return guest_of(opened.root.volume)
    except BoxError:
        return _UNKNOWN


def _defaults(kin: Release | None) -> dict[str, object]:
    return dict(kin.defaults) if kin else {}


def _told(disk: Disk, guest: Guest, boot: BootMode, seed: SeedKind, user: str) -> str:
    system = f"{shown(guest.os_id)} {shown(guest.os_version)}".strip() or "a system vx cannot read"
    size = format_size(size_of(disk.staged.path))
    return (
        f"{disk.label} is {disk.what}, {size}: {system}, booted by {_LOADERS[boot]}, "
        f"seed {seed}, user {user}"
    )


_LOADERS = {
    BootMode.KERNEL: "its kernel",
    BootMode.UEFI: "UEFI",
    BootMode.FBSD: "FreeBSD's loader",
}
