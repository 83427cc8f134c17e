"""Settings, record and box → what a provider must know. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.model import ArtifactKind, Disk, RootKind, SeedKind, VmSpec

if TYPE_CHECKING:
    from vagrantish.machine.record import Record
    from vagrantish.model import Box, MachineConfig
    from vagrantish.paths import MachineLayout

ROOT_DISK_SERIAL = "vx-root"


def kernel_cmdline(box: Box, machine: MachineConfig) -> str:
    """The box's command line, a serial console if it names none, then the user's own words."""
    words = box.cmdline.split()
    if not any(word.startswith("console=") for word in words):
        words.append(f"console={box.console}")
    return " ".join([*words, *machine.boot.cmdline.split()])


def has_disk(box: Box, machine: MachineConfig) -> bool:
    return ArtifactKind.DISK in box.artifacts or machine.disk_bytes is not None


def takes_overlay(box: Box) -> bool:
    return box.seed is SeedKind.OVERLAY


def is_volatile(box: Box, machine: MachineConfig) -> bool:
    """Whether all the guest wrote is gone once it is halted."""
    return box.root is RootKind.RAM and not has_disk(box, machine)


def box_fields(box: Box, machine: MachineConfig) -> dict[str, object]:
    """What a machine's record keeps of its box."""
    return {
        "label": box.label,
        "arch": box.arch,
        "volatile": is_volatile(box, machine),
        "artifacts": {str(k): str(a.digest) for k, a in box.artifacts.items()},
    }


def spec_of(
    record: Record,
    machine: MachineConfig,
    box: Box,
    layout: MachineLayout,
    *,
    disk_format: str | None,
) -> VmSpec:
    """``disk_format`` is that of the machine's own disk, None when it has none."""
    own = box.artifacts.get(ArtifactKind.INITRD)
    initrd = layout.initrd if takes_overlay(box) else own.path if own else None
    disks = (
        (Disk(path=layout.disk, format=disk_format, serial=ROOT_DISK_SERIAL),)
        if disk_format
        else ()
    )
    return VmSpec(
        id=record.id,
        name=machine.name,
        uuid=record.uuid,
        arch=box.arch,
        cpus=machine.cpus,
        memory_bytes=machine.memory_bytes,
        kernel=box.artifacts[ArtifactKind.KERNEL].path,
        initrd=initrd,
        cmdline=kernel_cmdline(box, machine),
        disks=disks,
        mac=record.mac,
        ssh_port=machine.ssh.port if machine.ssh.port is not None else record.ssh_port,
        ssh_port_fixed=machine.ssh.port is not None,
        forwards=machine.forwards,
        cpu_level=box.cpu_level,
        qemu=machine.qemu,
        layout=layout,
    )
