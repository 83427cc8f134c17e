"""The samples are what QEMU 7.2.22 (Debian 12) printed when the mistake was made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vagrantish.errors import MachineBusy, ProviderError, VxError
from vagrantish.model import QemuOptions
from vagrantish.provider.qemu.errors import AccelFailed, said, translate

if TYPE_CHECKING:
    from vagrantish.model import VmSpec

NAME = "qemu-system-x86_64: "


def error(output: str, vm: VmSpec, *, status: int = 1, accel: str = "tcg") -> VxError:
    return translate(output, status, vm, program="/usr/bin/qemu-system-x86_64", accel=accel)


@pytest.mark.parametrize(
    ("output", "message", "hint"),
    [
        (f"{NAME}unable to find CPU model 'foo'", "no processor foo", "-cpu help"),
        (
            f"{NAME}unsupported machine type\nUse -machine help to list supported machines",
            "no machine type q35",
            "-machine help",
        ),
        (
            f"{NAME}cannot set up guest memory 'pc.ram': Cannot allocate memory",
            "cannot give machine web 256MiB of memory",
            "Lower `memory`",
        ),
        (
            f"{NAME}Invalid SMP CPUs 999. The max CPUs supported by machine 'pc-q35-7.2' is 288",
            "wants 2 processors; QEMU can do 288",
            "Lower `cpus`",
        ),
        (
            "qemu: could not open kernel file '/x/vmlinuz': Permission denied",
            "cannot read the kernel /x/vmlinuz: Permission denied",
            "who may read it",
        ),
        ("qemu: linux kernel too old to load a ram disk", "/box/vmlinuz is not a", "bzImage"),
        ("qemu: invalid kernel header", "/box/vmlinuz is not a Linux kernel", "bzImage"),
        (f"{NAME}Failed to open file '/x/initrd'", "initrd /home/m/initrd", "who may read it"),
        (
            "qemu: initrd is too large, cannot support.(max: 1, need 2)",
            "too little memory (256MiB)",
            "Raise `memory`",
        ),
        (
            (
                f'{NAME}-device virtio-blk-pci,drive=d: Failed to get "write" lock\n'
                "Is another process using the image [/m/disk.img]?"
            ),
            "/m/disk.img is in use by another process",
            "halt the other",
        ),
        (
            f"{NAME}-drive if=none,file=/m/d: Image is not in qcow2 format",
            "not in qcow2 format",
            "vx destroy",
        ),
        (
            f"{NAME}-drive if=none,id=d,file=/m/d: Could not open '/m/d': No such file or directory",
            "cannot open the disk /m/d: No such file or directory",
            "Check that it exists",
        ),
        (f"{NAME}-nonesuch: invalid option", "argument: -nonesuch: invalid option", "extra_args"),
        (
            f"{NAME}-device nonesuch: 'nonesuch' is not a valid device model name",
            "argument: -device nonesuch: 'nonesuch' is not a valid device model name",
            "vx argv web",
        ),
        (
            f"{NAME}cannot create PID file: Could not create '/m/vm.pid': No such file or directory",
            "cannot make /m/vm.pid: No such file or directory",
            "VX_HOME",
        ),
        (
            f"{NAME}-chardev socket,id=c: Failed to bind socket to /m/c.sock: Permission denied",
            "cannot make /m/c.sock: Permission denied",
            "VX_HOME",
        ),
        (f"{NAME}{{name}} is odd", "did not start machine web: {name} is odd", "vx argv web"),
        ("", "did not start machine web: it ended with status 1", "vx argv web"),
    ],
)
def test_what_qemu_says_becomes_what_to_do(
    vm: VmSpec, output: str, message: str, hint: str
) -> None:
    caught = error(output, vm)

    assert isinstance(caught, ProviderError)
    assert message in caught.message
    assert hint in caught.hint


@pytest.mark.parametrize(
    ("output", "status"),
    [
        (
            (
                "Could not access KVM kernel module: Permission denied\n"
                f"{NAME}-accel kvm: failed to initialize kvm: Permission denied"
            ),
            1,
        ),
        (f"{NAME}-accel hvf: invalid accelerator hvf", 1),
        (f"{NAME}error: failed to set MSR 0x10a to 0x69", -6),
        ("", -11),
    ],
)
def test_failed_acceleration_is_told_from_other_failures(
    vm: VmSpec, output: str, status: int
) -> None:
    caught = error(output, vm, status=status, accel="kvm")

    assert isinstance(caught, AccelFailed)
    assert "KVM failed as machine web was started" in caught.message
    assert 'accel = "tcg"' in caught.hint


def test_a_crash_without_acceleration_is_not_blamed_on_it(vm: VmSpec) -> None:
    caught = error("", vm, status=-11)

    assert not isinstance(caught, AccelFailed)
    assert "died of signal 11" in caught.message


def test_a_locked_pid_file_means_the_machine_runs_already(vm: VmSpec) -> None:
    caught = error(
        f"{NAME}cannot create PID file: Cannot lock pid file: Resource temporarily unavailable", vm
    )

    assert isinstance(caught, MachineBusy)
    assert "again" in caught.hint


def test_the_machine_type_of_the_user_is_named(vm: VmSpec) -> None:
    vm = replace(vm, qemu=QemuOptions(machine="pdp11"))

    assert "no machine type pdp11" in error(f"{NAME}unsupported machine type", vm).message


def test_many_words_are_cut_and_put_on_one_line() -> None:
    text = said(f"{NAME}first\n{NAME}second\n" + "x" * 5000)

    assert text.startswith("first; second; xxx")
    assert len(text) < 700
