"""What a machine is told before it boots: in its initrd, or on a volume of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.lifecycle.create import user_of
from vagrantish.lifecycle.spec import has_disk
from vagrantish.model import SeedKind
from vagrantish.ssh import keys

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.formats.cpio import Entry
    from vagrantish.machine.record import Record
    from vagrantish.model import Box, MachineConfig
    from vagrantish.paths import MachineLayout
    from vagrantish.provider.base import Capabilities
    from vagrantish.seed.overlay import SeedData

# Every hypervisor here gives its disks to virtio, and the root disk comes first.
_FIRST_DISK = "vda"


def instance_of(machine: MachineConfig, box: Box, record: Record) -> str:
    """What cloud-init tells one guest from another by; "" for boxes without it.

    Raises HostError, ConfigError: the user's data may be in a file.
    """
    if box.seed is not SeedKind.CLOUD_INIT:
        return ""
    from vagrantish.lifecycle.cloudinit import read_user_data
    from vagrantish.seed.cloudinit import instance_id

    return instance_id(
        record.uuid,
        read_user_data(machine.cloud_init),
        first_boot_only=machine.cloud_init.first_boot_only,
    )


def write(
    machine: MachineConfig,
    box: Box,
    record: Record,
    layout: MachineLayout,
    initrd: Path | None,
    *,
    grow: bool,
    provider: Capabilities,
) -> None:
    """Write what this kind of box reads. ``initrd`` is the one to add to. Raises HostError."""
    if box.seed in (SeedKind.OVERLAY, SeedKind.TINYCORE):
        from vagrantish.seed.initrd import write_initrd

        seed = _data(machine, box, layout, record.id)
        if has_disk(box, machine) and not provider.disk_serials:
            seed = replace(seed, root_disk=_FIRST_DISK)
        write_initrd(initrd, _entries(box, seed), layout.initrd)
    elif box.seed is SeedKind.CLOUD_INIT:
        from vagrantish.lifecycle.cloudinit import read_user_data
        from vagrantish.seed.cloudinit import CloudInitSeed, files
        from vagrantish.seed.volume import write_seed

        seed = _data(machine, box, layout, instance_of(machine, box, record))
        options = CloudInitSeed(
            mac=record.mac,
            grow=grow,
            by_mac=not provider.forwards_ports,
            user_data=read_user_data(machine.cloud_init),
            network_version=_network_version(box),
        )
        write_seed(files(seed, options), layout.seed)


def _entries(box: Box, seed: SeedData) -> tuple[Entry, ...]:
    if box.seed is SeedKind.OVERLAY:
        from vagrantish.seed import overlay

        return overlay.entries(seed)
    from vagrantish.seed import tinycore

    extensions = [(extension.name, extension.path.read_bytes()) for extension in box.extensions]
    return tinycore.entries(seed, extensions, console=box.console)


def _network_version(box: Box) -> int:
    """cloud-init of these wants an interface in version 2 to be called as its entry is."""
    old = {("centos", "7"), ("rhel", "7"), ("debian", "11")}
    return 1 if (box.name, box.version.partition(".")[0]) in old else 2


def _data(machine: MachineConfig, box: Box, layout: MachineLayout, instance: str) -> SeedData:
    from vagrantish.seed.overlay import SeedData

    private = layout.host_key.read_bytes()
    return SeedData(
        instance_id=instance,
        hostname=machine.hostname,
        user=user_of(machine, box),
        authorized_keys=(_public(layout.user_key), *machine.ssh.extra_keys),
        host_key=private,
        host_key_public=_public(layout.host_key),
        dropbear_host_key=keys.dropbear_private(private),
    )


def _public(private: Path) -> str:
    return private.with_name(private.name + ".pub").read_text().strip()
