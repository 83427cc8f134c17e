"""What the kernel is told: the disk's words, the box's, the seed's and the user's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vagrantish.lifecycle.spec import kernel_cmdline, spec_of
from vagrantish.machine.record import Record
from vagrantish.model import (
    Artifact,
    ArtifactKind,
    BootConfig,
    BootMode,
    Box,
    BoxRef,
    Digest,
    FbsdLoader,
    Firmware,
    MachineConfig,
    QemuOptions,
    RootKind,
    SeedKind,
    SSHConfig,
)
from vagrantish.paths import MachineLayout

MACHINE = MachineConfig(
    name="web", index=1, box=BoxRef(name="corp"), providers=("auto",), cpus=1,
    memory_bytes=256 << 20, disk_bytes=None, hostname="web-1", message="", boot=BootConfig(),
    halt_timeout_s=60, ssh=SSHConfig(), forwards=(), steps=(), qemu=QemuOptions(), primary=False,
    autostart=True, needs=(), context={},
)  # fmt: skip
LAYOUT = MachineLayout(Path("/m"))
FROM_DISK = "root=UUID=1-2 ro console=tty0 quiet"


def artifact(kind: ArtifactKind, digit: str) -> Artifact:
    digest = Digest(algorithm="sha256", hex=digit * 64)
    return Artifact(kind=kind, digest=digest, size_bytes=1, path=Path(f"/a/{kind}"))


BOX = Box(
    name="corp", version="1", arch="x86_64", cmdline="", user="me", seed=SeedKind.NONE,
    root=RootKind.DISK, disk_boots=True, disk_cmdline=FROM_DISK, kernel_release="6.1",
    artifacts={
        kind: artifact(kind, digit)
        for kind, digit in zip(ArtifactKind, "abc", strict=True)
    },
)  # fmt: skip


def record(**kernel: str) -> Record:
    return Record(
        id="0123abcd", uuid="u", name="web", project="/p", provider="qemu", mac="52:54:00:00:00:01",
        created_at="", user="me", box={}, kernel=kernel,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("own", "user", "whole"),
    [
        ("", "", f"{FROM_DISK}"),
        ("no_timer_check", "", f"{FROM_DISK} no_timer_check"),
        ("root=/dev/vda2 rw", "", "console=tty0 quiet root=/dev/vda2 rw"),
        ("console=ttyS0", "", f"{FROM_DISK} console=ttyS0"),
        ("", "debug root=/dev/vdb", f"{FROM_DISK} debug root=/dev/vdb"),
    ],
)
def test_later_words_win_over_the_disks(own: str, user: str, whole: str) -> None:
    machine = replace(MACHINE, boot=BootConfig(cmdline=user))

    assert kernel_cmdline(replace(BOX, cmdline=own), machine, FROM_DISK) == whole


def test_a_console_is_named_where_nobody_does() -> None:
    box = replace(BOX, console="hvc0")

    assert kernel_cmdline(box, MACHINE, "ro quiet") == "ro quiet console=hvc0"


def test_a_seed_adds_what_its_guest_looks_for_before_the_users_words() -> None:
    machine = replace(MACHINE, boot=BootConfig(cmdline="last"))
    words = kernel_cmdline(replace(BOX, seed=SeedKind.CLOUD_INIT), machine, FROM_DISK).split()
    tiny = kernel_cmdline(replace(BOX, seed=SeedKind.TINYCORE), machine, "").split()

    assert any(word.startswith("ds=nocloud") for word in words)
    assert "host=web-1" in tiny
    assert words[-1] == tiny[-1] == "last"


def test_before_its_first_boot_a_machine_has_its_boxs_kernel() -> None:
    vm = spec_of(record(), MACHINE, BOX, LAYOUT, disk_format="qcow2")

    assert (vm.kernel, vm.initrd) == (Path("/a/kernel"), Path("/a/initrd"))
    assert vm.cmdline == FROM_DISK


def test_then_it_has_the_one_noted_of_its_disk() -> None:
    noted = record(release="6.2", cmdline="root=/dev/vda new", kernel="d" * 64, initrd="e" * 64)
    vm = spec_of(noted, MACHINE, BOX, LAYOUT, disk_format="qcow2")

    assert (vm.kernel, vm.initrd) == (LAYOUT.kernel, LAYOUT.disk_initrd)
    assert vm.cmdline == "root=/dev/vda new console=ttyS0"

    without = record(release="6.2", cmdline="x", kernel="d" * 64, initrd="")
    assert spec_of(without, MACHINE, BOX, LAYOUT, disk_format="qcow2").initrd is None


def test_cloud_inits_seed_is_a_second_disk_nobody_writes_to() -> None:
    box = replace(BOX, seed=SeedKind.CLOUD_INIT)
    vm = spec_of(record(), MACHINE, box, LAYOUT, disk_format="qcow2")

    assert [(disk.path, disk.readonly) for disk in vm.disks] == [
        (LAYOUT.disk, False), (LAYOUT.seed, True),
    ]  # fmt: skip


@pytest.mark.parametrize("mode", [BootMode.UEFI, BootMode.FBSD])
def test_what_boots_from_its_disk_is_given_no_kernel_even_where_the_box_has_one(
    mode: BootMode,
) -> None:
    machine = replace(MACHINE, boot=BootConfig(mode=mode, cmdline="quiet"))
    firmware = Firmware(code=Path("/f/CODE.fd"), vars=LAYOUT.firmware_vars)
    loader = FbsdLoader(userboot=None, volume=LAYOUT.disk)
    vm = spec_of(
        record(), machine, replace(BOX, artifacts={}), LAYOUT,
        disk_format="raw", firmware=firmware, fbsd=loader,
    )  # fmt: skip

    assert (vm.kernel, vm.initrd, vm.cmdline) == (None, None, "")
    assert (vm.firmware, vm.fbsd) == (firmware, loader)
    assert spec_of(record(), machine, BOX, LAYOUT, disk_format="raw").kernel is None


def test_the_guests_sshd_may_listen_elsewhere() -> None:
    machine = replace(MACHINE, ssh=SSHConfig(guest_port=2022))

    assert spec_of(record(), machine, BOX, LAYOUT, disk_format="raw").guest_ssh_port == 2022
