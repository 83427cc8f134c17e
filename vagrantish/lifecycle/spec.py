"""Settings, record and box → what a provider must know. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.box.bootcmdline import merged as merged_cmdline
from vagrantish.lifecycle.kernels import boot_files
from vagrantish.model import ArtifactKind, BootMode, Disk, RootKind, SeedKind, VmSpec
from vagrantish.seed.cloudinit import cmdline_words as cloudinit_words
from vagrantish.seed.tinycore import cmdline_words as tinycore_words

if TYPE_CHECKING:
    from vagrantish.machine.record import Record
    from vagrantish.model import Box, FbsdLoader, Firmware, MachineConfig
    from vagrantish.paths import MachineLayout

ROOT_DISK_SERIAL = "vx-root"
SEED_SERIAL = "vx-seed"


def kernel_cmdline(box: Box, machine: MachineConfig, from_disk: str = "") -> str:
    """The disk's own words, the box's, a serial console if neither names one, what the seed needs,
    and the user's own words at the end.

    ``from_disk`` is what the disk's boot loader would say.
    """
    words = merged_cmdline(from_disk, box.cmdline).split()
    if not any(word.startswith("console=") for word in words):
        words.append(f"console={box.console}")
    if box.seed is SeedKind.CLOUD_INIT:
        words += cloudinit_words()
    elif box.seed is SeedKind.TINYCORE:
        persistent = machine.disk_bytes is not None
        words = [*tinycore_words(words, machine.hostname, persistent=persistent)]
    return " ".join([*words, *machine.boot.cmdline.split()])


def has_disk(box: Box, machine: MachineConfig) -> bool:
    return ArtifactKind.DISK in box.artifacts or machine.disk_bytes is not None


def takes_overlay(box: Box) -> bool:
    return box.seed in (SeedKind.OVERLAY, SeedKind.TINYCORE)


def is_volatile(box: Box, machine: MachineConfig) -> bool:
    """Whether all the guest wrote is gone once it is halted."""
    return box.root is RootKind.RAM and not has_disk(box, machine)


def box_fields(box: Box, machine: MachineConfig) -> dict[str, object]:
    """What a machine's record keeps of its box."""
    return {
        "label": box.label,
        "arch": box.arch,
        "volatile": is_volatile(box, machine),
        "seed": box.seed.value,
        "artifacts": {part: str(file.digest) for part, file in box.files.items()},
    }


def spec_of(
    record: Record,
    machine: MachineConfig,
    box: Box,
    layout: MachineLayout,
    *,
    disk_format: str | None,
    firmware: Firmware | None = None,
    fbsd: FbsdLoader | None = None,
) -> VmSpec:
    """``disk_format`` is that of the machine's own disk, None when it has none."""
    by_kernel = machine.boot.mode is BootMode.KERNEL
    boots = boot_files(box, record, layout) if by_kernel else None
    disks = []
    if disk_format:
        disks.append(Disk(path=layout.disk, format=disk_format, serial=ROOT_DISK_SERIAL))
    if box.seed is SeedKind.CLOUD_INIT:
        disks.append(Disk(path=layout.seed, format="raw", serial=SEED_SERIAL, readonly=True))
    return VmSpec(
        id=record.id,
        name=machine.name,
        uuid=record.uuid,
        arch=box.arch,
        cpus=machine.cpus,
        memory_bytes=machine.memory_bytes,
        kernel=boots.kernel if boots else None,
        initrd=(layout.initrd if takes_overlay(box) else boots.initrd) if boots else None,
        cmdline=kernel_cmdline(box, machine, boots.cmdline) if boots else "",
        disks=tuple(disks),
        mac=record.mac,
        ssh_port=machine.ssh.port if machine.ssh.port is not None else record.ssh_port,
        ssh_port_fixed=machine.ssh.port is not None,
        guest_ssh_port=machine.ssh.guest_port,
        forwards=machine.forwards,
        firmware=firmware,
        fbsd=fbsd,
        cpu_level=box.cpu_level,
        hostname=machine.hostname,
        qemu=machine.qemu,
        xhyve=machine.xhyve,
        hyperkit=machine.hyperkit,
        vfkit=machine.vfkit,
        bhyve=machine.bhyve,
        layout=layout,
    )
