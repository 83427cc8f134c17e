"""A machine as the argument list of xhyve or hyperkit. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.provider.xhyve.cmdline import complete
from vagrantish.provider.xhyve.flavour import Flavour
from vagrantish.units import MIB

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.model import Disk, VmSpec, XhyveOptions

# With -A interrupts are routed for slots 1 to 8 and the LPC bridge's (xhyve src/acpitbl.c:30-38).
# Guests count their disks by slot and function, so the first disk has the lowest of them; slot 3
# is left to a CD the user may add.
_NIC_SLOT, _RNG_SLOT, _LPC_SLOT = 2, 5, 31
_DISK_SLOTS = (4, 6, 7, 8)
_FUNCTIONS = 8
DISKS_MAX = len(_DISK_SLOTS) * _FUNCTIONS


def xhyve_argv(vm: VmSpec, options: XhyveOptions, flavour: Flavour) -> tuple[str, ...]:
    """Arguments for one run, without the program's name.

    Slots are bus 0's. A path with a comma in it goes by the link that ``links`` tells of. What
    cannot be written at all, `checks.problems` has told.
    """
    words = [
        "-A", "-u",
        "-U", vm.uuid,
        "-c", str(vm.cpus),
        "-m", f"{memory_mib(vm)}M",
        "-s", "0:0,hostbridge",
        "-s", f"{_NIC_SLOT}:0,{_card(vm, flavour)}",
    ]  # fmt: skip
    for index, disk in enumerate(vm.disks):
        slot, function = divmod(index, _FUNCTIONS)
        words += ["-s", f"{_DISK_SLOTS[slot]}:{function},{_disk(vm, index, disk)}"]
    words += ["-s", f"{_RNG_SLOT}:0,virtio-rnd", "-s", f"{_LPC_SLOT},lpc", "-l", "com1,stdio"]
    return (*words, *_boot(vm, flavour), *options.extra_args)


def memory_mib(vm: VmSpec) -> int:
    """What it is given, rounded up."""
    return -(-vm.memory_bytes // MIB)


def slots_of(vm: VmSpec) -> frozenset[tuple[int, int]]:
    """Every slot and function that is taken."""
    disks = [divmod(index, _FUNCTIONS) for index in range(min(len(vm.disks), DISKS_MAX))]
    taken = {(_DISK_SLOTS[slot], function) for slot, function in disks}
    return frozenset(taken | {(0, 0), (_NIC_SLOT, 0), (_RNG_SLOT, 0), (_LPC_SLOT, 0)})


def links(vm: VmSpec) -> dict[Path, Path]:
    """Link → file, for what has a comma in its path: xhyve splits there, and nothing escapes one.

    That of a disk keeps its place: the serial its guest sees is made of it.
    """
    named = {"kernel": vm.kernel, "initrd": vm.initrd}
    named |= {f"disk{index}": disk.path for index, disk in enumerate(vm.disks)}
    if vm.firmware is not None:
        named["firmware"] = vm.firmware.code
    if vm.fbsd is not None:
        named |= {"userboot": vm.fbsd.userboot, "volume": vm.fbsd.volume}
    return {
        vm.layout.link(name): path
        for name, path in named.items()
        if path is not None and "," in str(path)
    }


def _card(vm: VmSpec, flavour: Flavour) -> str:
    """virtio-net may end xhyve under UEFI (machyve/xhyve#164); hyperkit has no other card."""
    return "e1000" if vm.firmware is not None and flavour is not Flavour.HYPERKIT else "virtio-net"


def _disk(vm: VmSpec, index: int, disk: Disk) -> str:
    path = _path(vm, f"disk{index}", disk.path)
    return f"virtio-blk,{path}{',ro' if disk.readonly else ''}"


def _boot(vm: VmSpec, flavour: Flavour) -> tuple[str, ...]:
    """Three commas in ``-f`` are right for both: xhyve insists on them."""
    if vm.firmware is not None:
        option = "-f" if flavour is Flavour.HYPERKIT else "-l"
        return (option, f"bootrom,{_path(vm, 'firmware', vm.firmware.code)}")
    if vm.fbsd is not None:
        userboot = _path(vm, "userboot", vm.fbsd.userboot)
        volume = _path(vm, "volume", vm.fbsd.volume)
        return ("-f", f"fbsd,{userboot},{volume},{vm.cmdline}")
    kernel, initrd = _path(vm, "kernel", vm.kernel), _path(vm, "initrd", vm.initrd)
    return ("-f", f"kexec,{kernel},{initrd},{complete(vm.cmdline)}")


def _path(vm: VmSpec, name: str, path: Path | None) -> str:
    if path is None:
        return ""
    return str(vm.layout.link(name) if "," in str(path) else path)
