from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vagrantish.errors import ProviderError
from vagrantish.model import Disk, Firmware, Forward, QemuOptions
from vagrantish.paths import MachineLayout
from vagrantish.provider.qemu.argv import qemu_argv, rule_of
from vagrantish.units import GIB, MIB

if TYPE_CHECKING:
    from vagrantish.model import VmSpec
    from vagrantish.provider.base import HostFacts


def values(argv: tuple[str, ...], option: str) -> list[str]:
    return [value for name, value in pairwise(argv) if name == option]


def value(argv: tuple[str, ...], option: str) -> str:
    (only,) = values(argv, option)
    return only


DISK = Disk(path=Path("/home/m/disk.img"), format="qcow2", serial="vx-root")


@pytest.mark.parametrize(
    ("changes", "option", "expected"),
    [
        ({}, "-name", "web"),
        ({}, "-uuid", "0f3c0a52-9d5f-4c51-a8a0-3d4a0ea20a11"),
        ({}, "-machine", "q35"),
        ({"qemu": QemuOptions(machine="pc")}, "-machine", "pc"),
        ({}, "-display", "none"),
        ({}, "-smp", "2"),
        ({}, "-m", "256M"),
        ({"memory_bytes": 256 * MIB + 1}, "-m", "257M"),
        ({}, "-accel", "tcg,tb-size=64"),
        ({"memory_bytes": GIB}, "-accel", "tcg,tb-size=128"),
        ({"disks": (DISK,)}, "-accel", "tcg,tb-size=128"),
        ({}, "-cpu", "qemu64"),
        ({"cpu_level": "x86-64-v3"}, "-cpu", "max"),
        ({"qemu": QemuOptions(cpu="Nehalem")}, "-cpu", "Nehalem"),
        ({}, "-kernel", "/box/vmlinuz"),
        ({"kernel": Path("/a,b/vmlinuz")}, "-kernel", "/a,b/vmlinuz"),
        ({}, "-initrd", "/home/m/initrd"),
        ({"initrd": Path("/a,b/initrd")}, "-initrd", "/a,b/initrd"),
        ({}, "-append", "console=ttyS0 quiet"),
        ({"cmdline": "a=1,2 b=c,,d"}, "-append", "a=1,2 b=c,,d"),
        ({}, "-netdev", "user,id=net0,hostfwd=tcp:127.0.0.1:0-:22"),
        ({"guest_ssh_port": 2022}, "-netdev", "user,id=net0,hostfwd=tcp:127.0.0.1:0-:2022"),
        ({"ssh_port": 2222}, "-netdev", "user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22"),
        (
            {
                "forwards": (
                    Forward(guest=80, host=8080),
                    Forward(guest=53, host=5353, host_ip="0.0.0.0", proto="udp"),
                )
            },
            "-netdev",
            (
                "user,id=net0,hostfwd=tcp:127.0.0.1:0-:22,hostfwd=tcp:127.0.0.1:8080-:80,"
                "hostfwd=udp:0.0.0.0:5353-:53"
            ),
        ),
        ({}, "-serial", "chardev:console"),
        ({}, "-mon", "chardev=qmp,mode=control"),
        ({}, "-pidfile", "/home/m/vm.pid"),
        (
            {"disks": (DISK,)},
            "-drive",
            "if=none,id=disk0,file=/home/m/disk.img,format=qcow2,discard=unmap,detect-zeroes=unmap",
        ),
        (
            {"disks": (replace(DISK, path=Path("/a,b.img"), format="raw", readonly=True),)},
            "-drive",
            "if=none,id=disk0,file=/a,,b.img,format=raw,readonly=on",
        ),
    ],
)
def test_each_fact_of_a_machine_becomes_its_option(
    vm: VmSpec, host: HostFacts, changes: dict[str, Any], option: str, expected: str
) -> None:
    assert value(qemu_argv(replace(vm, **changes), host), option) == expected


@pytest.mark.parametrize("accel", ["kvm", "hvf"])
def test_hardware_acceleration_gets_the_hosts_own_processor(
    vm: VmSpec, host: HostFacts, accel: str
) -> None:
    argv = qemu_argv(vm, replace(host, accel=accel))

    assert (value(argv, "-accel"), value(argv, "-cpu")) == (accel, "host")


def test_the_processor_chosen_by_the_user_beats_the_hosts_own(vm: VmSpec, host: HostFacts) -> None:
    vm = replace(vm, qemu=QemuOptions(cpu="Haswell"))

    assert value(qemu_argv(vm, replace(host, accel="kvm")), "-cpu") == "Haswell"


def test_devices_are_entropy_disks_with_serials_and_a_card_without_boot_rom(
    vm: VmSpec, host: HostFacts
) -> None:
    vm = replace(vm, disks=(DISK, replace(DISK, serial="vx-data")))

    assert values(qemu_argv(vm, host), "-device") == [
        "virtio-rng-pci",
        "virtio-blk-pci,drive=disk0,serial=vx-root",
        "virtio-blk-pci,drive=disk1,serial=vx-data",
        "virtio-net-pci,netdev=net0,mac=52:54:00:0a:0b:0c,romfile=",
    ]


def test_console_is_logged_and_both_sockets_wait_for_nobody(vm: VmSpec, host: HostFacts) -> None:
    assert values(qemu_argv(vm, host), "-chardev") == [
        "socket,id=console,path=/home/m/con.sock,server=on,wait=off,logfile=/home/m/console.log",
        "socket,id=qmp,path=/home/m/qmp.sock,server=on,wait=off",
    ]


def test_commas_are_doubled_where_they_would_end_an_option(vm: VmSpec, host: HostFacts) -> None:
    argv = qemu_argv(replace(vm, layout=MachineLayout(Path("/a,b")), name="w,b"), host)

    assert values(argv, "-chardev") == [
        "socket,id=console,path=/a,,b/con.sock,server=on,wait=off,logfile=/a,,b/console.log",
        "socket,id=qmp,path=/a,,b/qmp.sock,server=on,wait=off",
    ]
    assert value(argv, "-name") == "w,,b"
    assert value(argv, "-pidfile") == "/a,b/vm.pid"


def test_a_machine_without_initrd_gets_no_initrd_option(vm: VmSpec, host: HostFacts) -> None:
    assert "-initrd" not in qemu_argv(replace(vm, initrd=None), host)


def test_a_guest_may_reboot_and_qemu_detaches_itself(vm: VmSpec, host: HostFacts) -> None:
    argv = qemu_argv(vm, host)

    assert "-no-reboot" not in argv
    assert {"-daemonize", "-nodefaults", "-no-user-config"} <= set(argv)


def test_extra_arguments_come_last_so_that_they_win(vm: VmSpec, host: HostFacts) -> None:
    vm = replace(vm, qemu=QemuOptions(extra_args=("-m", "1G")))

    assert qemu_argv(vm, host)[-2:] == ("-m", "1G")


def test_ports_settled_elsewhere_replace_the_wanted_ones(vm: VmSpec, host: HostFacts) -> None:
    vm = replace(vm, forwards=(Forward(guest=80, host=8080),))
    settled = (Forward(guest=22, host=2200), Forward(guest=80, host=8081))

    assert value(qemu_argv(vm, host, settled), "-netdev") == (
        "user,id=net0,hostfwd=tcp:127.0.0.1:2200-:22,hostfwd=tcp:127.0.0.1:8081-:80"
    )


def test_a_socket_path_that_does_not_fit_is_refused_with_a_way_out(
    vm: VmSpec, host: HostFacts
) -> None:
    layout = MachineLayout(Path("/" + "ü" * 50))

    with pytest.raises(ProviderError, match="too long for a socket: 110 bytes") as caught:
        qemu_argv(replace(vm, layout=layout), host)

    assert "VX_HOME" in caught.value.hint


def test_a_socket_path_of_just_the_greatest_length_fits(vm: VmSpec, host: HostFacts) -> None:
    layout = MachineLayout(Path("/" + "a" * (103 - len("/") - len("/con.sock"))))

    assert qemu_argv(replace(vm, layout=layout), host)


def test_a_rule_reads_as_in_qemus_complaints() -> None:
    forward = Forward(guest=53, host=5353, host_ip="10.0.0.1", proto="udp")

    assert rule_of(forward) == "udp:10.0.0.1:5353-:53"


def test_uefi_is_flash_whose_second_half_is_the_machines_own(vm: VmSpec, host: HostFacts) -> None:
    firmware = Firmware(code=Path("/f,1/CODE.fd"), vars=Path("/home/m/uefi-vars.fd"))
    argv = qemu_argv(replace(vm, kernel=None, initrd=None, firmware=firmware), host)

    assert values(argv, "-drive") == [
        "if=pflash,unit=0,format=raw,readonly=on,file=/f,,1/CODE.fd",
        "if=pflash,unit=1,format=raw,file=/home/m/uefi-vars.fd",
    ]
    assert not {"-kernel", "-initrd", "-append"} & set(argv)


def test_without_variables_of_its_own_there_is_only_the_code(vm: VmSpec, host: HostFacts) -> None:
    argv = qemu_argv(replace(vm, kernel=None, firmware=Firmware(code=Path("/f/CODE.fd"))), host)

    assert len(values(argv, "-drive")) == 1
