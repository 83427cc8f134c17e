"""A box out of a disk image that boots by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.box import boxfile, checks, ondisk, reference
from vagrantish.box.fields import ARCHES, shown
from vagrantish.box.import_guest import guest_of
from vagrantish.errors import BoxError
from vagrantish.files import host_errors
from vagrantish.formats import qcow2
from vagrantish.model import ArtifactKind, Box, RootKind, SeedKind
from vagrantish.units import format_size

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.box.bootdisk import BootChoice
    from vagrantish.box.import_guest import Guest
    from vagrantish.box.import_job import Given, Job, Wishes
    from vagrantish.box.ingest import Staged
    from vagrantish.model import Release

_CONSOLES = {"aarch64": "ttyAMA0"}
_BOXES = {"almalinux": "alma"}  # ID in os-release → what its box is called, where these differ


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A staged disk image, and what its packaging says of it."""

    staged: Staged
    label: str  # for people
    what: str  # "a qcow2 disk image"
    member: str = ""  # the path inside an archive
    name: str = ""
    version: str = ""
    user: str = ""  # what the packaging says; "" leaves it to the guest
    cmdline: str = ""
    arch: str = ""
    description: str = ""
    boot_files: tuple[Staged, ...] = ()  # kernel and initrd that came beside it
    must_have_cloud_init: bool = False  # nothing else would let vx in


def box_of(disk: Disk, given: Given, job: Job) -> tuple[Box, tuple[Staged, ...]]:
    """Raises BoxError, HostError."""
    wishes = job.wishes
    with host_errors(f"read {disk.staged.path}"):
        checks.check_artifact(
            ArtifactKind.DISK, disk.staged.path, label=disk.label, cmdline="", op=job.op
        )
    guest, choice = _looked_at(disk, wishes)
    arch = _arch(choice, disk, wishes)
    settings = settings_of(disk, guest, arch, job)
    kin = settings or kin_of(guest, arch, job)
    seed = seed_of(disk, guest, wishes, settings)
    user = wishes.user or disk.user or (settings.user if settings else guest.user)
    cmdline = _cmdline(disk, wishes, settings, arch)
    if choice is None:
        staged = _checked(disk, cmdline, arch, job)
    else:
        choice, staged = ondisk.take_boot_files(
            disk.staged.path, job.folder, root=_root(wishes), label=disk.label, arch=arch, op=job.op
        )
    _check_seed(seed, staged, disk.label)
    job.op.note(_told(disk, guest, choice, seed, user))
    if not guest.user_known and not (wishes.user or disk.user or settings):
        job.op.warn(f"nothing in {disk.label} tells its user: root is assumed; --user says another")
    box = Box(
        name=disk.name,
        version=disk.version,
        arch=arch,
        artifacts=boxfile.artifacts_of((disk.staged, *staged), job.home),
        cmdline=cmdline,
        user=user,
        seed=seed,
        root=RootKind.DISK,
        console=settings.console if settings else _console(arch),
        cpu_level=kin.cpu_level if kin else "x86-64-v1",
        origin=given.origin,
        description=disk.description or _system(choice) or (settings.description if settings else ""),
        defaults=kin.defaults if kin else {},
        disk_boots=choice is not None,
        disk_cmdline=choice.cmdline if choice else "",
        kernel_release=choice.release if choice else "",
        sources=given.source(ArtifactKind.DISK, disk.member),
    )  # fmt: skip
    return box, (disk.staged, *staged)


def _looked_at(disk: Disk, wishes: Wishes) -> tuple[Guest, BootChoice | None]:
    """The system in it, and what it boots unless that came beside it."""
    with ondisk.looked_at(disk.staged.path, root=_root(wishes), label=disk.label) as opened:
        assert opened.root.volume is not None, "a root has a volume"
        guest = guest_of(opened.root.volume)
        return guest, None if disk.boot_files else opened.choices()[0]


def _root(wishes: Wishes) -> str:
    return ondisk.root_of(wishes.cmdline or "")


def _check_seed(seed: SeedKind, staged: tuple[Staged, ...], label: str) -> None:
    kinds = {item.kind for item in staged}
    if seed in (SeedKind.OVERLAY, SeedKind.TINYCORE) and ArtifactKind.INITRD not in kinds:
        raise BoxError(f'seed "{seed}" adds to an initrd, and {label} has none')


def _arch(choice: BootChoice | None, disk: Disk, wishes: Wishes) -> str:
    """The kernel's own; where that does not tell, as it is said, else this host's."""
    said = disk.arch or wishes.arch or reference.host_arch()
    arch = choice.arch if choice and choice.arch else said
    if arch not in ARCHES:
        raise BoxError(f"{disk.label} is for {shown(arch)}; vx boots {' and '.join(ARCHES)}")
    if wishes.arch not in (None, arch):
        raise BoxError(f"{disk.label} is for {arch}, not for {wishes.arch}")
    return arch


def _checked(disk: Disk, cmdline: str, arch: str, job: Job) -> tuple[Staged, ...]:
    return tuple(
        checks.checked(
            item,
            label=f"the {item.kind} beside {disk.label}",
            cmdline=cmdline,
            arch=arch,
            op=job.op,
        )
        for item in disk.boot_files
    )


def settings_of(disk: Disk, guest: Guest, arch: str, job: Job) -> Release | None:
    """Where a catalog has a box of that name: how its releases are booted."""
    return _known(disk.name, (disk.version, guest.os_version), arch, job)


def kin_of(guest: Guest, arch: str, job: Job) -> Release | None:
    """What a catalog says of the distribution it is of: what that wants of the hardware holds here."""
    return _known(_BOXES.get(guest.os_id, guest.os_id), (guest.os_version,), arch, job)


def _known(name: str, versions: tuple[str, ...], arch: str, job: Job) -> Release | None:
    """The settings of the first version that is known, or else of its first part."""
    for version in versions:
        for wanted in dict.fromkeys((version, version.partition(".")[0])):
            try:
                ref = reference.parse(f"{name}@{wanted}")
            except ValueError:
                continue
            if found := job.settings(ref, arch):
                return found
    return None


def seed_of(disk: Disk, guest: Guest, wishes: Wishes, settings: Release | None) -> SeedKind:
    if wishes.seed is not None:
        return wishes.seed
    if guest.cloud_init:
        return SeedKind.CLOUD_INIT
    if settings is not None and settings.seed not in (SeedKind.CLOUD_INIT, SeedKind.NONE):
        return settings.seed
    if disk.must_have_cloud_init:
        raise _no_way_in(disk.label, guest)
    return SeedKind.NONE


def _no_way_in(label: str, guest: Guest) -> BoxError:
    state = "is switched off in it" if guest.cloud_init_off else "is not in it"
    way = (
        "Remove /etc/cloud/cloud-init.disabled from the image"
        if guest.cloud_init_off
        else "Install cloud-init in the image"
    )
    return BoxError(
        f"{label} lets in whoever has Vagrant's key, which everybody has. vx would put its own in "
        f"by cloud-init, and that {state}",
        hint=f"{way} and pack it again. If it knows a key of yours, add it with --seed none.",
    )


def _cmdline(disk: Disk, wishes: Wishes, settings: Release | None, arch: str) -> str:
    """What is added to the disk's own; the last console is where the guest's messages go."""
    if wishes.cmdline is not None:
        return wishes.cmdline
    if settings is not None:
        return settings.cmdline
    return disk.cmdline or f"console={_console(arch)}"


def _console(arch: str) -> str:
    return _CONSOLES.get(arch, "ttyS0")


def _told(disk: Disk, guest: Guest, choice: BootChoice | None, seed: SeedKind, user: str) -> str:
    parts = [_system(choice) or "Linux"] if choice else ["kernel beside it"]
    if choice is not None:
        parts.append(f"kernel {choice.release} ({choice.why})")
    if guest.cloud_init:
        parts.append("cloud-init")
    elif guest.cloud_init_off:
        parts.append("cloud-init switched off")
    else:
        parts.append("no cloud-init")
    if seed is not (SeedKind.CLOUD_INIT if guest.cloud_init else SeedKind.NONE):
        parts.append(f"seed {seed}")
    parts.append(f"user {user}")
    size = format_size(size_of(disk.staged.path))
    return f"{disk.label} is {disk.what}, {size}: {', '.join(parts)}"


def _system(choice: BootChoice | None) -> str:
    return shown(choice.os_name) if choice else ""


def size_of(path: Path) -> int:
    """Of the disk as the guest sees it."""
    with host_errors(f"read {path}"):
        if checks.disk_format(path) == "qcow2":
            return qcow2.virtual_size(path)
        return path.stat().st_size
