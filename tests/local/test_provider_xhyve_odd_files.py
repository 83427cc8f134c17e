"""Files that cannot even be looked at, and disks a machine would have twice, are problems told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.fakes.hyve.trying import bzimage
from vagrantish.model import Disk, QemuOptions, VmSpec, XhyveOptions
from vagrantish.paths import MachineLayout
from vagrantish.provider.base import HostFacts
from vagrantish.provider.xhyve import checks
from vagrantish.units import MIB

if TYPE_CHECKING:
    from pathlib import Path

HEAD = HostFacts(program="/opt/xhyve", version="", accel="xhyve", flavour="head")
HYPERKIT = replace(HEAD, flavour="hyperkit")
BY_SUDO = replace(HEAD, privilege="sudo")
TOO_LONG = "x" * 300


@pytest.fixture
def vm(tmp_path: Path) -> VmSpec:
    (tmp_path / "vmlinuz").write_bytes(bzimage())
    (tmp_path / "disk").write_bytes(bytes(4096))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    return VmSpec(
        id="0f3c",
        name="web",
        uuid="0f3c0a52-9d5f-4c51-a8a0-3d4a0ea20a11",
        arch="x86_64",
        cpus=1,
        memory_bytes=64 * MIB,
        kernel=tmp_path / "vmlinuz",
        initrd=None,
        cmdline="",
        disks=(),
        mac="",
        ssh_port=0,
        ssh_port_fixed=False,
        forwards=(),
        cpu_level="x86-64-v1",
        qemu=QemuOptions(),
        layout=MachineLayout(tmp_path / "m"),
    )


def told(vm: VmSpec, host: HostFacts = HEAD, extra: str = "") -> str:
    options = XhyveOptions(extra_args=tuple(extra.split()))
    provider = "hyperkit" if host is HYPERKIT else "xhyve"
    found = checks.problems(replace(vm, xhyve=options, hyperkit=options), host, provider=provider)
    return "\n".join(problem.message for problem in found)


def disk(path: Path) -> Disk:
    return Disk(path=path, format="raw", serial="vx-root")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (TOO_LONG, "File name too long"),
        ("loop", "symbolic links"),
        ("vmlinuz/x", "Not a directory"),
    ],
)
def test_a_file_that_cannot_be_looked_at_is_told(
    vm: VmSpec, tmp_path: Path, name: str, reason: str
) -> None:
    odd = tmp_path / name

    assert reason in told(replace(vm, kernel=odd))
    assert reason in told(replace(vm, initrd=odd))
    assert reason in told(replace(vm, disks=(disk(odd),)))
    assert reason in told(vm, extra=f"-s 3,ahci-cd,{odd}")
    assert "may not be written by you" in told(vm, BY_SUDO, f"-l com2,/{TOO_LONG}/x")


def test_a_disk_of_the_machine_cannot_be_added_once_more(vm: VmSpec, tmp_path: Path) -> None:
    image, other = tmp_path / "disk", tmp_path / "other"
    other.symlink_to(image)
    with_disk = replace(vm, disks=(disk(image),))

    assert "twice" in told(with_disk, extra=f"-s 3,virtio-blk,{other}")
    assert "twice" in told(vm, extra=f"-s 3,virtio-blk,{image} -s 3:1,ahci-hd,{other}")
    assert told(with_disk, extra=f"-s 3,virtio-blk,{other},ro") == ""


def test_a_disk_that_is_added_must_be_raw_too(vm: VmSpec, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"QFI\xfb".ljust(4096, b"\0"))

    assert "a qcow2 disk image, and xhyve takes raw" in told(vm, extra=f"-s 3,virtio-blk,{image}")
    assert told(vm, HYPERKIT, f"-s 3,virtio-blk,file://{image},format=qcow") == ""
    assert "is a raw device" in told(vm, extra="-s 3,virtio-blk,/dev/null")
    assert told(vm, HYPERKIT, "-s 3,virtio-blk,/dev/null") == ""
