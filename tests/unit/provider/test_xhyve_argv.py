"""The command line xhyve gets, read back by the parser of its double."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.hyve import model
from tests.fakes.hyve.parse import parse
from vagrantish.model import Disk, FbsdLoader, Firmware, VmSpec, XhyveOptions
from vagrantish.provider.xhyve.argv import DISKS_MAX, links, slots_of, xhyve_argv
from vagrantish.provider.xhyve.cmdline import complete
from vagrantish.provider.xhyve.flavour import Flavour
from vagrantish.units import MIB

HEAD, OLD, HYPERKIT = Flavour.HEAD, Flavour.OLD, Flavour.HYPERKIT
DISK = Disk(path=Path("/home/m/disk.img"), format="raw", serial="vx-root")


def understood(vm: VmSpec, flavour: Flavour = HEAD) -> model.CommandLine:
    return parse(["xhyve", *xhyve_argv(vm, vm.xhyve, flavour)], model.Flavour(flavour))


def cards(vm: VmSpec, flavour: Flavour) -> list[str]:
    return [slot.emulation for slot in understood(vm, flavour).slots if slot.slot == 2]


def test_the_whole_of_a_machine_in_the_order_of_its_parts(vm: VmSpec) -> None:
    seed = replace(DISK, path=Path("/home/m/seed.iso"), readonly=True)
    options = XhyveOptions(extra_args=("-w",))

    assert xhyve_argv(replace(vm, disks=(DISK, seed)), options, HEAD) == (
        "-A", "-u",
        "-U", "0f3c0a52-9d5f-4c51-a8a0-3d4a0ea20a11",
        "-c", "2",
        "-m", "256M",
        "-s", "0:0,hostbridge",
        "-s", "2:0,virtio-net",
        "-s", "4:0,virtio-blk,/home/m/disk.img",
        "-s", "4:1,virtio-blk,/home/m/seed.iso,ro",
        "-s", "5:0,virtio-rnd",
        "-s", "31,lpc",
        "-l", "com1,stdio",
        "-f", "kexec,/box/vmlinuz,/home/m/initrd,console=ttyS0 panic=1 quiet",
        "-w",
    )  # fmt: skip


def test_every_disk_has_a_slot_below_9_and_the_guest_counts_them_in_their_order(vm: VmSpec) -> None:
    disks = tuple(replace(DISK, path=Path(f"/d/{number}")) for number in range(DISKS_MAX))
    vm = replace(vm, disks=disks)

    line = understood(vm)

    found = [slot for slot in line.slots if slot.emulation == "virtio-blk"]
    assert [slot.config for slot in found] == [f"/d/{number}" for number in range(DISKS_MAX)]
    assert {slot.slot for slot in found} == {4, 6, 7, 8}
    assert {(slot.slot, slot.func) for slot in line.slots} == slots_of(vm)


@pytest.mark.parametrize(("flavour", "card"), [(HEAD, "e1000"), (HYPERKIT, "virtio-net")])
def test_a_guest_with_uefi_gets_the_card_that_works_there(
    vm: VmSpec, flavour: Flavour, card: str
) -> None:
    vm = replace(vm, kernel=None, firmware=Firmware(code=Path("/fw/UEFI.fd")))

    line = understood(vm, flavour)

    assert cards(vm, flavour) == [card]
    loaded = line.firmware.kernel if line.firmware else line.bootrom
    assert loaded == "/fw/UEFI.fd"
    assert cards(replace(vm, kernel=Path("/k"), firmware=None), flavour) == ["virtio-net"]


@pytest.mark.parametrize("flavour", Flavour)
def test_freebsds_loader_gets_the_disk_it_loads_from(vm: VmSpec, flavour: Flavour) -> None:
    loads = FbsdLoader(userboot=Path("/x/userboot.so"), volume=DISK.path)

    line = understood(replace(vm, kernel=None, fbsd=loads, cmdline="a=b,c"), flavour)

    assert line.firmware == model.Firmware(
        loader="fbsd", kernel="/x/userboot.so", initrd="/home/m/disk.img", cmdline="a=b,c"
    )


def test_paths_with_commas_go_by_links_of_their_own(vm: VmSpec) -> None:
    loads = FbsdLoader(userboot=Path("/a,b/u"), volume=Path("/a,b/disk"))
    vm = replace(
        vm,
        kernel=Path("/a,b/k"),
        disks=(DISK, replace(DISK, path=Path("/a,b/disk"))),
        firmware=Firmware(code=Path("/a,b/fw")),
    )

    assert links(vm) == {
        Path("/home/m/link.kernel"): Path("/a,b/k"),
        Path("/home/m/link.disk1"): Path("/a,b/disk"),
        Path("/home/m/link.firmware"): Path("/a,b/fw"),
    }
    assert set(links(replace(vm, firmware=None, fbsd=loads)).values()) == {
        Path("/a,b/k"), Path("/a,b/disk"), Path("/a,b/u"),
    }  # fmt: skip
    assert "link.volume" in str(xhyve_argv(replace(vm, firmware=None, fbsd=loads), vm.xhyve, HEAD))


def test_memory_goes_out_in_whole_mib_rounded_up(vm: VmSpec) -> None:
    assert understood(replace(vm, memory_bytes=256 * MIB + 1)).memory_bytes == 257 * MIB


def test_firmware_that_is_not_there_is_not_called_none(vm: VmSpec) -> None:
    vm = replace(vm, kernel=None, firmware=Firmware(code=None))

    assert not any("None" in word for word in xhyve_argv(vm, vm.xhyve, HEAD))


@pytest.mark.parametrize(
    ("given", "completed"),
    [
        ("", "console=ttyS0 panic=1"),
        ("quiet panic=30", "console=ttyS0 quiet panic=30"),
        ("console=ttyS0,115200 a=1,2", "console=ttyS0,115200 panic=1 a=1,2"),
        ("console=ttyS0 console=tty0 quiet", "console=tty0 console=ttyS0 panic=1 quiet"),
        ("console=ttyS1 a", "console=ttyS1 console=ttyS0 panic=1 a"),
        ("console=ttyS0 panic=0 console=ttyS0", "console=ttyS0 panic=0 console=ttyS0"),
        ("a -- console=tty0 panic=1", "console=ttyS0 panic=1 a -- console=tty0 panic=1"),
        ('x="a console=tty0  b" console=ttyS0', 'x="a console=tty0  b" console=ttyS0 panic=1'),
        ('"console=tty0" panic=1', '"console=tty0" console=ttyS0 panic=1'),
        ("console=ttyS0\tpanic=1\n", "console=ttyS0 panic=1"),
        ("oops.panic=1 console=ttyS0", "oops.panic=1 console=ttyS0 panic=1"),
    ],
)
def test_a_command_line_is_completed_where_the_kernel_looks(given: str, completed: str) -> None:
    assert complete(given) == completed
