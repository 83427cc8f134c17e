from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.applevz.model import Efi, Linux
from tests.fakes.applevz.parse import parse, socket_of
from vagrantish.model import Disk, FbsdLoader, Firmware, QemuOptions, VfkitOptions, VmSpec
from vagrantish.paths import MachineLayout
from vagrantish.provider.vfkit.argv import CONSOLE, bootloader_of, cmdline_of, vfkit_argv
from vagrantish.provider.vfkit.checks import kernel_problem, problems
from vagrantish.units import MIB

if TYPE_CHECKING:
    from tests.fakes.applevz.model import CommandLine

DISK = Disk(path=Path("/home/m/disk.img"), format="raw", serial="vx-root")


def understood(vm: VmSpec) -> CommandLine:
    return parse(["vfkit", *vfkit_argv(vm)])


def messages(vm: VmSpec) -> str:
    return "\n".join(str(problem) for problem in problems(vm, arch=vm.arch))


def test_the_whole_of_a_machine_in_the_order_of_its_parts(vm: VmSpec) -> None:
    vm = replace(vm, disks=(DISK,), vfkit=VfkitOptions(extra_args=("--nested",)))

    assert vfkit_argv(vm) == (
        "--cpus", "2",
        "--memory", "256",
        "--bootloader",
        'linux,kernel=/box/vmlinuz,initrd=/home/m/initrd,cmdline="quiet console=hvc0"',
        "--device", "virtio-blk,path=/home/m/disk.img,deviceId=vx-root",
        "--device", "virtio-net,nat,mac=52:54:00:0a:0b:0c",
        "--device", "virtio-rng",
        "--device", "virtio-serial,logFilePath=/home/m/console.log",
        "--restful-uri", "unix:///home/m/rest.sock",
        "--log-level", "error",
        "--nested",
    )  # fmt: skip


def test_memory_is_rounded_up_to_whole_mib(vm: VmSpec) -> None:
    assert understood(replace(vm, memory_bytes=256 * MIB + 1)).memory_mib == 257


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "console=hvc0"),
        ("console=ttyS0 panic=10", "panic=10 console=hvc0"),
        ("console=ttyS0,115200n8 quiet", "quiet console=hvc0"),
        ("console=hvc0 console=tty0", "console=tty0 console=hvc0"),
        ("console=ttyAMA0 root=/dev/vda1", "root=/dev/vda1 console=hvc0"),
        ("quiet -- single", "quiet console=hvc0 -- single"),
    ],
)
def test_the_last_console_is_the_one_that_is_there(given: str, expected: str) -> None:
    assert cmdline_of(given) == expected


def test_commas_of_a_command_line_reach_the_kernel(vm: VmSpec) -> None:
    boots = understood(replace(vm, cmdline="modules=loop,squashfs a=1,2")).bootloader

    assert isinstance(boots, Linux)
    assert boots.cmdline == "modules=loop,squashfs a=1,2 console=hvc0"


def test_without_a_kernel_the_frameworks_own_firmware_boots(vm: VmSpec) -> None:
    vm = replace(
        vm, kernel=None, initrd=None, firmware=Firmware(code=None, vars=Path("/home/m/efi"))
    )

    assert understood(vm).bootloader == Efi(store="/home/m/efi", create=True)


def test_firmware_without_kept_variables_gets_a_place_for_them(vm: VmSpec) -> None:
    vm = replace(vm, kernel=None, firmware=Firmware(code=None))

    assert bootloader_of(vm) == "efi,variable-store=/home/m/efi-variables,create"


@pytest.mark.parametrize("name", ["r.sock", "a b", "50%25", "what?", "käse", "#1"])
def test_whatever_its_folder_is_called_the_service_is_where_it_is_looked_for(
    vm: VmSpec, name: str
) -> None:
    vm = replace(vm, layout=MachineLayout(Path("/home") / name))

    assert socket_of(understood(vm).rest) == f"/home/{name}/rest.sock"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {
                "disks": (
                    replace(
                        DISK,
                        path=Path("/home/m/a,b"),
                    ),
                )
            },
            "has a comma in it",
        ),
        ({"kernel": Path("/a,b/vmlinuz")}, "the path of the kernel, /a,b/vmlinuz, has a comma"),
        ({"initrd": Path('/home/m/a"b')}, "has a double quote in it"),
        ({"cmdline": 'dyndbg="file x +p"'}, "command line has a double quote"),
        ({"disks": (replace(DISK, format="qcow2"),)}, "is not raw"),
        ({"disks": (replace(DISK, serial="x" * 21),)}, "more than 20 characters"),
        ({"mac": ""}, "has no MAC address"),
        ({"fbsd": FbsdLoader(userboot=None, volume=Path("/d"))}, "has no FreeBSD loader"),
        ({"kernel": None}, "neither a kernel nor UEFI"),
        ({"layout": MachineLayout(Path("/" + "x" * 110))}, "too long for a socket"),
    ],
)
def test_what_vfkit_cannot_take_is_told_beforehand(
    vm: VmSpec, changes: dict[str, object], expected: str
) -> None:
    assert expected in messages(replace(vm, **changes))  # type: ignore[arg-type]


def test_a_guest_of_another_architecture_is_told(vm: VmSpec) -> None:
    (problem, *_) = problems(vm, arch="aarch64")

    assert "is for x86_64, and vfkit on this host runs aarch64 guests only" in problem.message


ARM_IMAGE = b"MZ" + bytes(0x36) + b"ARM\x64" + bytes(64)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (ARM_IMAGE, ""),
        (b"\x1f\x8b" + bytes(64), "compressed with gzip"),
        (b"MZ\0\0zimg" + bytes(64), "compressed EFI kernel"),
        (b"<!doctype html>" + bytes(64), "an HTML page"),
        (b"", "an empty file"),
    ],
)
def test_only_an_uncompressed_image_boots_on_apple_silicon(head: bytes, expected: str) -> None:
    wrong, hint = kernel_problem(head, len(head), arch="aarch64")

    assert (expected in wrong) if expected else not wrong
    assert bool(hint) == bool(expected)


def test_an_intel_mac_takes_a_bzimage_and_nothing_else() -> None:
    wrong, _ = kernel_problem(ARM_IMAGE, len(ARM_IMAGE), arch="x86_64")

    assert "not an x86 Linux kernel" in wrong


SIGNS = st.sampled_from(",\" '%?=#:;\\$&()[]~*!|<>`@+") | st.characters(
    codec="utf-8", exclude_characters="/\0\n\r", exclude_categories=["Cs"]
)
NAMES = st.text(SIGNS, min_size=1, max_size=12).filter(lambda name: name.strip(".") == name)
WORDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=12)


@st.composite
def machines(draw: st.DrawFn) -> VmSpec:
    folder = Path("/m") / draw(NAMES)
    kernel, initrd = draw(NAMES), draw(st.none() | NAMES)
    disks = tuple(
        Disk(path=folder / name, format="raw", serial=f"d{index}")
        for index, name in enumerate(draw(st.lists(NAMES, max_size=4)))
    )
    efi = draw(st.booleans())
    return VmSpec(
        id="0f3c",
        name="web",
        uuid="0f3c0a52-9d5f-4c51-a8a0-3d4a0ea20a11",
        arch="x86_64",
        cpus=draw(st.integers(1, 64)),
        memory_bytes=draw(st.integers(MIB, 1 << 40)),
        kernel=None if efi else folder / kernel,
        initrd=folder / initrd if initrd is not None and not efi else None,
        cmdline=" ".join(draw(st.lists(WORDS, max_size=6))),
        disks=disks,
        mac="52:54:00:0a:0b:0c",
        ssh_port=0,
        ssh_port_fixed=False,
        forwards=(),
        cpu_level="x86-64-v1",
        qemu=QemuOptions(),
        layout=MachineLayout(folder),
        firmware=Firmware(code=None, vars=folder / kernel) if efi else None,
    )


@settings(max_examples=1000)
@given(machines())
def test_whatever_is_accepted_vfkit_reads_as_it_was_meant(vm: VmSpec) -> None:
    if tuple(problems(vm, arch="x86_64")):
        return

    line = understood(vm)

    assert line.cpus == vm.cpus
    assert (line.memory_mib - 1) * MIB < vm.memory_bytes <= line.memory_mib * MIB
    assert [d.options["path"] for d in line.of_kind("virtio-blk")] == [
        str(d.path) for d in vm.disks
    ]
    assert socket_of(line.rest) == os.fspath(vm.layout.rest_socket)
    if vm.kernel is None:
        assert isinstance(line.bootloader, Efi)
        return
    assert line.bootloader == Linux(
        kernel=str(vm.kernel),
        initrd=str(vm.initrd) if vm.initrd is not None else "",
        cmdline=cmdline_of(vm.cmdline),
    )
    consoles = [w for w in line.bootloader.cmdline.split() if w.startswith("console=")]
    assert f"console={CONSOLE}" in consoles
