from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.beehive.getopt import getopt
from tests.fakes.beehive.grub import split_words
from tests.fakes.beehive.parse import CommandLine, block_path, parse
from tests.fakes.beehive.world import memory_bytes
from vagrantish.model import BhyveOptions, Disk, FbsdLoader, Firmware, QemuOptions, VmSpec
from vagrantish.paths import MachineLayout
from vagrantish.provider.bhyve.argv import (
    Programs,
    bhyve_argv,
    device_map,
    fbsd_variables,
    grub_config,
    loader_command,
    tap_name,
)
from vagrantish.provider.bhyve.checks import problems
from vagrantish.provider.bhyve.provider import hooks
from vagrantish.units import MIB

DISK = Disk(path=Path("/home/m/disk.img"), format="raw", serial="vx-root")
UEFI = Firmware(code=Path("/fw/BHYVE_UEFI.fd"), vars=Path("/home/m/vars"))


def understood(vm: VmSpec) -> CommandLine:
    return parse(["bhyve", *bhyve_argv(vm, tap="tap7")])


def messages(vm: VmSpec) -> str:
    return "\n".join(str(problem) for problem in problems(vm))


def test_the_whole_of_a_machine_in_the_order_of_its_parts(vm: VmSpec) -> None:
    vm = replace(vm, disks=(DISK, replace(DISK, path=Path("/home/m/seed.iso"), readonly=True)))

    assert bhyve_argv(vm, tap="tap7") == (
        "-c", "2",
        "-m", "256M",
        "-A", "-H", "-P", "-u",
        "-U", "0f3c0a52-9d5f-4c51-a8a0-3d4a0ea20a11",
        "-s", "0,hostbridge",
        "-s", "2,virtio-net,tap7,mac=52:54:00:0a:0b:0c",
        "-s", "3,virtio-rnd",
        "-s", "4:0,virtio-blk,/home/m/disk.img",
        "-s", "4:1,virtio-blk,/home/m/seed.iso,ro",
        "-s", "31,lpc",
        "-l", "com1,stdio",
        "vx-0f3c",
    )  # fmt: skip


def test_the_users_own_arguments_come_before_the_name(vm: VmSpec) -> None:
    vm = replace(vm, bhyve=BhyveOptions(extra_args=("-w",)))

    assert bhyve_argv(vm, tap="tap7")[-2:] == ("-w", "vx-0f3c")


def test_firmware_is_a_device_and_needs_no_loader(vm: VmSpec) -> None:
    vm = replace(vm, kernel=None, firmware=UEFI)

    line = understood(vm)

    assert (line.bootrom, line.bootvars) == ("/fw/BHYVE_UEFI.fd", "/home/m/vars")
    assert loader_command(vm, Programs()) is None


def test_grub_gets_the_same_memory_and_the_hosts_own_files(vm: VmSpec) -> None:
    vm = replace(vm, memory_bytes=256 * MIB + 1, cmdline="console=ttyS0 a=1,2", disks=(DISK,))

    loader = loader_command(vm, Programs(grub="/g"))

    assert loader == (
        "/g", "-n", "-m", "/home/m/loader/device.map", "-M", "257M",
        "-r", "host", "-d", "/home/m/loader", "vx-0f3c",
    )  # fmt: skip
    assert "257M" in bhyve_argv(vm, tap="tap7")
    assert grub_config(vm).splitlines() == [
        "linux '(host)/box/vmlinuz' 'console=ttyS0' 'a=1,2'",
        "initrd '(host)/home/m/initrd'",
        "boot",
        "exit",
    ]
    assert device_map(vm) == "(hd0) /home/m/disk.img\n"


def test_freebsd_is_loaded_from_its_disk_with_its_variables(vm: VmSpec) -> None:
    loads = FbsdLoader(userboot=None, volume=DISK.path)
    vm = replace(vm, kernel=None, fbsd=loads, cmdline="console=ttyS0 boot_serial=YES quiet")

    loader = loader_command(vm, Programs())

    assert loader == (
        "bhyveload", "-c", "stdio", "-m", "256M", "-d", "/home/m/disk.img",
        "-e", "boot_serial=YES", "-e", "console=comconsole", "vx-0f3c",
    )  # fmt: skip


def test_a_console_that_is_named_for_freebsd_stays() -> None:
    assert fbsd_variables("console=vidconsole") == ("console=vidconsole",)


def test_each_start_is_loaded_anew_and_after_the_end_nothing_is_left(vm: VmSpec) -> None:
    before, after = hooks(vm, "tap7", Programs(), prefix=("sudo", "-n"))

    destroy, load = before
    assert destroy.argv == ("sudo", "-n", "bhyvectl", "--vm=vx-0f3c", "--destroy")
    assert load.argv[2] == "grub-bhyve"
    assert (destroy.must, load.must) == (False, True)
    assert [" ".join(hook.argv) for hook in after] == [
        "sudo -n bhyvectl --vm=vx-0f3c --destroy",
        "sudo -n ifconfig tap7 destroy",
    ]


def test_a_guest_with_firmware_is_not_destroyed_between_two_starts(vm: VmSpec) -> None:
    before, after = hooks(replace(vm, kernel=None, firmware=UEFI), "tap7", Programs(), prefix=())

    assert before == ()
    assert len(after) == 2


def test_a_machines_device_has_one_name_and_others_to_try() -> None:
    names = [tap_name("0f3c", attempt) for attempt in range(3)]

    assert names[0] == tap_name("0f3c")
    assert len(set(names)) == 3
    assert all(name.startswith("tap") and 1000 <= int(name[3:]) < 32000 for name in names)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"disks": (replace(DISK, path=Path("/home/m/a,b")),)}, "has a comma in it"),
        ({"kernel": Path("/it's/vmlinuz")}, "has a single quote in it"),
        ({"cmdline": 'dyndbg="x +p"'}, "a quote or a backslash"),
        ({"cmdline": "a=b\\c"}, "a quote or a backslash"),
        ({"disks": (replace(DISK, format="qcow2"),)}, "is not raw"),
        ({"arch": "aarch64"}, "runs x86_64 guests only"),
        ({"mac": ""}, "has no MAC address"),
        ({"kernel": None}, "has nothing to boot from"),
        ({"kernel": None, "firmware": Firmware(code=None)}, "there is no UEFI firmware"),
        ({"kernel": None, "firmware": Firmware(code=Path("/no/fw"))}, "cannot be read"),
    ],
)
def test_what_bhyve_cannot_take_is_told_beforehand(
    vm: VmSpec, changes: dict[str, object], expected: str
) -> None:
    assert expected in messages(replace(vm, **changes))  # type: ignore[arg-type]


SIGNS = st.sampled_from(",\" '%?=#:;\\$&()[]~*!|<>`@+") | st.characters(
    codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]
)
NAMES = st.text(SIGNS, min_size=1, max_size=12).filter(lambda name: name.strip(".") == name)
WORDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=12)


@st.composite
def machines(draw: st.DrawFn) -> VmSpec:
    folder = Path("/m") / draw(NAMES)
    initrd = draw(st.none() | NAMES)
    disks = tuple(
        Disk(path=folder / name, format="raw", serial=f"d{index}", readonly=draw(st.booleans()))
        for index, name in enumerate(draw(st.lists(NAMES, max_size=12)))
    )
    return VmSpec(
        id="0f3c",
        name="web",
        uuid="0f3c0a52-9d5f-4c51-a8a0-3d4a0ea20a11",
        arch="x86_64",
        cpus=draw(st.integers(1, 16)),
        memory_bytes=draw(st.integers(MIB, 1 << 40)),
        kernel=folder / draw(NAMES),
        initrd=folder / initrd if initrd is not None else None,
        cmdline=" ".join(draw(st.lists(WORDS, max_size=6))),
        disks=disks,
        mac="52:54:00:0a:0b:0c",
        ssh_port=0,
        ssh_port_fixed=False,
        forwards=(),
        cpu_level="x86-64-v1",
        qemu=QemuOptions(),
        layout=MachineLayout(folder),
    )


@settings(max_examples=1000)
@given(machines())
def test_whatever_is_accepted_bhyve_and_grub_read_as_it_was_meant(vm: VmSpec) -> None:
    if tuple(problems(vm)):
        return

    line = understood(vm)
    loader = loader_command(vm, Programs())
    assert loader is not None
    words = [split_words(text) for text in grub_config(vm).split("\n")]

    assert line.cpus == vm.cpus
    assert line.memory_bytes - MIB < vm.memory_bytes <= line.memory_bytes
    told = dict(getopt(loader, "nm:M:r:d:")[0])
    assert memory_bytes(told["M"]) == line.memory_bytes
    blocks = [slot for slot in line.slots if slot.emulation == "virtio-blk"]
    assert [block_path(slot) for slot in blocks] == [str(disk.path) for disk in vm.disks]
    assert words[0] == ["linux", f"(host){vm.kernel}", *vm.cmdline.split()]
    if vm.initrd is not None:
        assert words[1] == ["initrd", f"(host){vm.initrd}"]
