"""Which settings a running machine does not have yet, because they take effect at its start."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from vagrantish.model import BoxParts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vagrantish.model import MachineConfig

_DIGITS = 12


def start_settings(machine: MachineConfig) -> dict[str, str]:
    """Key of the Xhyvefile → a short digest of its value: the value itself may be a secret."""
    box = machine.box
    parts = (
        (sorted(box.sources.items()), box.cmdline, box.seed) if isinstance(box, BoxParts) else box
    )
    values = {
        "box": parts,
        "cpus": machine.cpus,
        "memory": machine.memory_bytes,
        "disk": machine.disk_bytes,
        "hostname": machine.hostname,
        "boot.cmdline": machine.boot.cmdline,
        "ssh.user": machine.ssh.user,
        "ssh.port": machine.ssh.port,
        "ssh.extra_keys": machine.ssh.extra_keys,
        "boot.kernel": machine.boot.kernel,
        "boot.mode": machine.boot.mode,
        "boot.firmware": machine.boot.firmware,
        "boot.userboot": machine.boot.userboot,
        "ssh.guest_port": machine.ssh.guest_port,
        "cloud_init": None if machine.cloud_init.first_boot_only else machine.cloud_init,
        "forward": machine.forwards,
        "qemu": machine.qemu,
        "xhyve": machine.xhyve,
        "hyperkit": machine.hyperkit,
        "vfkit": machine.vfkit,
        "bhyve": machine.bhyve,
    }
    return {key: sha256(str(value).encode()).hexdigest()[:_DIGITS] for key, value in values.items()}


def waiting(machine: MachineConfig, started_with: Mapping[str, str]) -> tuple[str, ...]:
    """The keys whose values changed since the machine was started with ``started_with``."""
    now = start_settings(machine)
    return tuple(key for key, digest in now.items() if started_with.get(key, digest) != digest)
