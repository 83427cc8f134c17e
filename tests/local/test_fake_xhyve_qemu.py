"""What the stand-in for xhyve tells QEMU, and what it makes of QEMU's answers. Nothing is started."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.fakes.hyve.model import CommandLine, Firmware, Flavour, Slot, Uart
from tests.fakes.hyve.qemu import acpi_enabled, halted
from tests.fakes.hyve.qemu_argv import Disk, Links, Parts, qemu_argv

if TYPE_CHECKING:
    from collections.abc import Mapping

LINKS = Links(qmp=5, consoles={0: 6})
KEXEC = Firmware(loader="kexec", kernel="k", initrd="i", cmdline="console=ttyS0,115200 quiet")
LPC = Slot(bus=0, slot=31, func=0, emulation="lpc", config=None)


def slot(number: int, func: int, emulation: str, config: str | None = None) -> Slot:
    return Slot(bus=0, slot=number, func=func, emulation=emulation, config=config)


def told(
    *slots: Slot,
    disks: Mapping[Slot, Disk] | None = None,
    macs: Mapping[Slot, str] | None = None,
    flavour: Flavour = Flavour.HEAD,
    acpi: bool = True,
    msi_x: bool = True,
    memory_bytes: int = 256 << 20,
) -> list[str]:
    line = CommandLine(
        prog="xhyve", firmware=KEXEC, slots=(*slots, LPC), uarts=(Uart(index=0, backend="stdio"),),
        acpi=acpi, msi_x=msi_x, memory_bytes=memory_bytes,
    )  # fmt: skip
    parts = Parts(
        flavour=flavour, accel="tcg", links=LINKS, disks=disks or {}, macs=macs or {}, netdev="NET",
    )  # fmt: skip
    return qemu_argv(line, parts)


def devices(argv: list[str]) -> dict[str, str]:
    """What stands at each place on the bus: "4.0": "virtio-blk-pci ..."."""
    found = {}
    for option, value in pairwise(argv):
        words = value.split(",")
        place = [word.partition("=")[2] for word in words if word.startswith("addr=")]
        if option == "-device" and place:
            found[place[0]] = value
    return found


def test_function_0_opens_its_slot_when_there_are_others() -> None:
    first, second = slot(4, 0, "virtio-rnd"), slot(4, 1, "virtio-rnd")
    placed = devices(told(first, second, slot(5, 0, "virtio-rnd"), slot(10, 2, "virtio-rnd")))

    assert list(placed) == ["4.0", "4.1", "5.0", "a.2"]
    assert [place for place, words in placed.items() if "multifunction=on" in words] == ["4.0"]


def test_what_qemu_has_not_still_keeps_a_slot_open() -> None:
    placed = devices(told(slot(3, 0, "dummy"), slot(4, 0, "uart"), slot(4, 1, "virtio-rnd")))

    assert list(placed) == ["4.0", "4.1"]
    assert placed["4.0"].startswith("pci-testdev,")


@pytest.mark.parametrize("flavour", [Flavour.HEAD, Flavour.HYPERKIT])
def test_a_serial_comes_from_all_of_a_disks_option(flavour: Flavour) -> None:
    disk = slot(4, 0, "virtio-blk", "/a/disk.img,ro")
    argv = told(disk, disks={disk: Disk(path="/a/disk.img")}, flavour=flavour)

    name = "md5" if flavour is Flavour.HYPERKIT else "sha256"
    digits = hashlib.new(name, b"/a/disk.img,ro").hexdigest().upper()
    serial = f"serial=BHYVE-{digits[:4]}-{digits[4:8]}-{digits[8:12]}"
    assert devices(argv)["4.0"].endswith(serial)


def test_virtio_is_of_the_old_kind_and_offers_little() -> None:
    card = slot(2, 0, "virtio-net")
    placed = devices(told(card, macs={card: "02:0a:00:1b:cf:32"}, msi_x=False))

    words = placed["2.0"].split(",")
    assert {"disable-modern=on", "csum=off", "vectors=0", "mac=02:0a:00:1b:cf:32"} <= set(words)


def test_an_image_that_cannot_be_written_lies_below_one_whose_writes_fail() -> None:
    disk = slot(4, 0, "virtio-blk", "/a/b")
    argv = told(disk, disks={disk: Disk(path="/a/b", overlay="/tmp/o,v")})

    drive = argv[argv.index("-drive") + 1]
    assert "driver=blkdebug" in drive
    assert "image.file.filename=/tmp/o,,v," in drive
    assert drive.endswith("image.backing.file.filename=/a/b")
    assert "readonly" not in drive


def test_a_cd_is_read_only_and_nothing_is_locked() -> None:
    cd = slot(3, 0, "ahci-cd", "/a/b.iso")
    argv = told(cd, disks={cd: Disk(path="/a/b.iso", overlay="/o")})

    drive = argv[argv.index("-drive") + 1]
    assert drive.endswith("file.locking=off,format=raw,file=/a/b.iso,readonly=on")
    assert any(word.startswith("ide-cd,bus=a3_0.0,") for word in argv)


def test_without_tables_the_kernel_is_told_to_seek_none() -> None:
    assert "console=ttyS0,115200 quiet" in told()
    assert "console=ttyS0,115200 quiet acpi=off" in told(acpi=False)


def test_both_serial_ports_are_there_whoever_listens() -> None:
    argv = told()

    assert "socket,id=com0,fd=6" in argv
    assert "null,id=com1" in argv
    assert "isa-serial,index=1,chardev=com1" in argv


def test_memory_may_be_less_than_a_mebibyte_more() -> None:
    argv = told(memory_bytes=(64 << 20) + 4096)

    assert argv[argv.index("-m") + 1] == "65540k"


# --- answers ---------------------------------------------------------------------------------

CPU = "RIP=ffffffff81e0b5fb RFL={flags:08x} [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT={hlt}\r\n"
STOPPED = CPU.format(flags=0x46, hlt=1)
IDLE = CPU.format(flags=0x246, hlt=1)
BUSY = CPU.format(flags=0x46, hlt=0)


@pytest.mark.parametrize(
    ("registers", "is_halted"),
    [
        (STOPPED, True), (STOPPED * 2, True), (IDLE, False), (BUSY, False),
        (STOPPED + IDLE, False), (BUSY + STOPPED, False), ("", False), ("unknown command", False),
    ],
)  # fmt: skip
def test_halted_is_when_no_processor_can_be_woken(registers: str, is_halted: bool) -> None:
    assert halted(registers) is is_halted


@pytest.mark.parametrize(
    ("printed", "enabled"),
    [
        ("portw[0x0604] = 0x0001\r\n", True), ("portw[0x0604] = 0x0000\r\n", False),
        ("portw[0x0604] = 0xffff\r\n", False),  # the firmware has not run yet
    ],
)  # fmt: skip
def test_acpi_is_on_once_the_guest_has_asked_for_it(printed: str, enabled: bool) -> None:
    assert acpi_enabled(printed) is enabled
