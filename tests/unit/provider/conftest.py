"""A machine and a host to build arguments for."""

from __future__ import annotations

from pathlib import Path

import pytest

from vagrantish.model import QemuOptions, VmSpec
from vagrantish.paths import MachineLayout
from vagrantish.provider.base import HostFacts
from vagrantish.units import MIB


@pytest.fixture
def vm() -> VmSpec:
    return VmSpec(
        id="0f3c",
        name="web",
        uuid="0f3c0a52-9d5f-4c51-a8a0-3d4a0ea20a11",
        arch="x86_64",
        cpus=2,
        memory_bytes=256 * MIB,
        kernel=Path("/box/vmlinuz"),
        initrd=Path("/home/m/initrd"),
        cmdline="console=ttyS0 quiet",
        disks=(),
        mac="52:54:00:0a:0b:0c",
        ssh_port=0,
        ssh_port_fixed=False,
        forwards=(),
        cpu_level="x86-64-v1",
        qemu=QemuOptions(),
        layout=MachineLayout(Path("/home/m")),
    )


@pytest.fixture
def host() -> HostFacts:
    return HostFacts(program="/usr/bin/qemu-system-x86_64", version="7.2.22", accel="tcg")
