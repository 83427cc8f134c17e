"""A machine of xhyve's as QEMU's argument list. Pure."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fakes.hyve.model import CommandLine, Flavour, Slot
from tests.fakes.hyve.nic import canonical_uuid

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEGACY = "disable-modern=on,disable-legacy=off"
# xhyve's virtio-net offers its MAC, mergeable buffers and the link's state, and no more.
_NO_OFFLOADS = ",".join(
    f"{name}=off"
    for name in (
        "csum", "gso", "guest_csum", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo",
        "guest_announce", "host_tso4", "host_tso6", "host_ecn", "host_ufo", "ctrl_vq", "ctrl_rx",
        "ctrl_vlan", "ctrl_rx_extra", "ctrl_mac_addr", "ctrl_guest_offloads", "mq",
    )
)  # fmt: skip
NICS = {"virtio-net", "e1000"}
_BUILT_IN = {"hostbridge", "amd_hostbridge", "lpc"}  # part of q35, at 0:0 and 31:0
# A Mac's processor has it, and without any entropy a guest waits for more than a second.
_CPU = "qemu64,+rdrand"
_CACHE_MIB = 128  # of translated code; a distribution's system is as fast as with 1 GiB
_CAPTURED_BYTES = 1024  # of a packet: all of a DHCP message


@dataclass(frozen=True, kw_only=True)
class Disk:
    """An image that was opened."""

    path: str  # absolute
    overlay: str | None = None  # of an image that cannot be written, which the guest is not told
    sectors: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Links:
    """Descriptors QEMU inherits: connected sockets, and a pipe."""

    qmp: int
    consoles: Mapping[int, int]  # by UART
    capture: int | None = None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the devices came to."""

    flavour: Flavour
    accel: str
    links: Links
    disks: Mapping[Slot, Disk] = field(default_factory=dict)
    macs: Mapping[Slot, str] = field(default_factory=dict)
    netdev: str = ""


def qemu_argv(line: CommandLine, parts: Parts) -> list[str]:
    """Without the program's name."""
    firmware = line.firmware
    assert firmware is not None
    uuid = uuid_of(line)
    return [
        "-M", "q35,usb=off,vmport=off", "-nodefaults", "-no-user-config",
        "-vga", "none", "-display", "none", "-no-reboot",
        "-accel", f"tcg,tb-size={_CACHE_MIB}" if parts.accel == "tcg" else parts.accel,
        "-cpu", _CPU,
        "-m", f"{line.memory_bytes // 1024}k",
        "-smp", f"{line.cpus},sockets={line.cpus},cores=1,threads=1",
        "-rtc", f"base={'utc' if line.utc else 'localtime'}",
        *(("-uuid", uuid) if uuid else ()),
        "-smbios", "type=0,vendor=BHYVE,version=1.00,date=03/14/2014",
        "-smbios", "type=1,manufacturer= ,product=BHYVE,version=1.0,serial=None",
        "-kernel", firmware.kernel,
        *(("-initrd", firmware.initrd) if firmware.initrd else ()),
        "-append", _cmdline(line),
        "-chardev", f"socket,id=qmp,fd={parts.links.qmp}", "-mon", "chardev=qmp,mode=control",
        *_uarts(line, parts),
        *_network(parts),
        *_devices(line, parts),
    ]  # fmt: skip


def uuid_of(line: CommandLine) -> str | None:
    """Without -U, one of the computer's name (xhyve src/smbiostbl.c:609-634)."""
    if line.uuid is not None:
        return canonical_uuid(line.uuid)
    text = hashlib.md5(socket.gethostname().encode(), usedforsecurity=False).hexdigest()
    return re.sub(r"(.{8})(.{4})(.{4})(.{4})(.{12})", r"\1-\2-\3-\4-\5", text)


def serial_of(config: str, flavour: Flavour) -> str:
    """From the whole option string (xhyve src/pci_virtio_block.c:340-366)."""
    name = "md5" if flavour is Flavour.HYPERKIT else "sha256"
    digits = hashlib.new(name, os.fsencode(config), usedforsecurity=False).hexdigest().upper()
    return f"BHYVE-{digits[:4]}-{digits[4:8]}-{digits[8:12]}"


def _cmdline(line: CommandLine) -> str:
    """Without -A there are no tables, but SeaBIOS would bring its own."""
    assert line.firmware is not None
    cmdline = line.firmware.cmdline
    return cmdline if line.acpi else f"{cmdline} acpi=off"


def _uarts(line: CommandLine, parts: Parts) -> list[str]:
    if not any(slot.emulation == "lpc" for slot in line.slots):
        return []  # behind a bridge that is not there
    words = []
    for index in (0, 1):
        fd = parts.links.consoles.get(index)
        backend = "null" if fd is None else "socket"
        words += [
            "-chardev", f"{backend},id=com{index}" + ("" if fd is None else f",fd={fd}"),
            "-device", f"isa-serial,index={index},chardev=com{index}",
        ]  # fmt: skip
    return words


def _network(parts: Parts) -> list[str]:
    if not parts.macs:
        return []
    words = ["-netdev", parts.netdev]
    if parts.links.capture is not None:
        file = f"/proc/self/fd/{parts.links.capture}"
        dump = f"filter-dump,id=dump,netdev=net,file={file},maxlen={_CAPTURED_BYTES}"
        words += ["-object", dump]
    return words


def _devices(line: CommandLine, parts: Parts) -> list[str]:
    """On bus 0: there are no bridges to others."""
    slots = [slot for slot in line.slots if slot.bus == 0 and slot.emulation not in _BUILT_IN]
    shared = {slot.slot for slot in slots if slot.func}
    words: list[str] = []
    for slot in slots:
        place = f"addr={slot.slot:x}.{slot.func}"
        if slot.func == 0 and slot.slot in shared:
            place += ",multifunction=on"
        words += _device(slot, place, line, parts, first_of_many=place.endswith("on"))
    return words


def _device(
    slot: Slot, place: str, line: CommandLine, parts: Parts, *, first_of_many: bool
) -> list[str]:
    vectors = "" if line.msi_x else ",vectors=0"
    match slot.emulation:
        case "virtio-blk" | "ahci-hd" | "ahci-cd":
            return _disk(slot, f"{place}{vectors}" if slot.emulation[0] == "v" else place, parts)
        case "virtio-net":
            card = f"netdev=net,mac={parts.macs[slot]},romfile=,{_LEGACY},{_NO_OFFLOADS}"
            return ["-device", f"virtio-net-pci,{place},{card}{vectors}"]
        case "e1000":
            return ["-device", f"e1000,{place},netdev=net,mac={parts.macs[slot]},romfile="]
        case "virtio-rnd":
            return ["-device", f"virtio-rng-pci,{place},{_LEGACY}{vectors}"]
    # Nothing QEMU has; but without a function 0 the guest would not see the others of its slot.
    return ["-device", f"pci-testdev,{place}"] if first_of_many else []


def _disk(slot: Slot, place: str, parts: Parts) -> list[str]:
    disk = parts.disks[slot]
    name = f"d{slot.slot}_{slot.func}"
    assert slot.config is not None
    options = f"drive={name},serial={serial_of(slot.config, parts.flavour)}"
    if disk.sectors:
        logical, physical = disk.sectors
        options += f",logical_block_size={logical},physical_block_size={physical}"
    drive = ["-drive", f"if=none,id={name},{_image(slot, disk)}"]
    if slot.emulation == "virtio-blk":
        features = f"{_LEGACY},num-queues=1,discard=off,write-zeroes=off"
        return [*drive, "-device", f"virtio-blk-pci,{place},{features},{options}"]
    bus = f"a{slot.slot}_{slot.func}"
    kind = "ide-cd" if slot.emulation == "ahci-cd" else "ide-hd"
    return [
        *drive,
        "-device", f"ich9-ahci,id={bus},{place}",
        "-device", f"{kind},bus={bus}.0,{options}",
    ]  # fmt: skip


def _image(slot: Slot, disk: Disk) -> str:
    """xhyve locks nothing, and fails what is written to a disk it could only read."""
    if disk.overlay is None or slot.emulation == "ahci-cd":
        locked = "file.locking=off,format=raw,file=" + _escaped(disk.path)
        return locked + (",readonly=on" if slot.emulation == "ahci-cd" else "")
    return (
        "driver=blkdebug,inject-error.0.event=none,inject-error.0.iotype=write,"
        "inject-error.0.errno=5,werror=report,image.driver=qcow2,image.file.driver=file,"
        f"image.file.locking=off,image.file.filename={_escaped(disk.overlay)},"
        "image.backing.driver=raw,image.backing.file.driver=file,"
        f"image.backing.file.locking=off,image.backing.file.filename={_escaped(disk.path)}"
    )


def _escaped(path: str) -> str:
    return path.replace(",", ",,")
