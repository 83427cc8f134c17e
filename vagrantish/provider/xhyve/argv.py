"""A machine as xhyve's argument list. Pure.

hyperkit takes the same: three commas in ``-f`` are right for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.units import MIB

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.model import Disk, VmSpec, XhyveOptions

# With -A interrupts are routed for slots 1 to 8 and the LPC bridge's (xhyve src/acpitbl.c:30-38).
_NIC_SLOT, _DISK_SLOT, _RNG_SLOT, _LPC_SLOT = 2, 4, 5, 31
_FUNCTIONS = 8
DISKS_MAX = _FUNCTIONS


def xhyve_argv(vm: VmSpec, options: XhyveOptions) -> tuple[str, ...]:
    """Arguments for one run, without the program's name.

    Slots are bus 0's. Memory is whole MiB, rounded up. A path with a comma in it goes by the link
    that ``links`` tells of.
    """
    words = [
        "-A", "-u",
        "-U", vm.uuid,
        "-c", str(vm.cpus),
        "-m", f"{-(-vm.memory_bytes // MIB)}M",
        "-s", "0:0,hostbridge",
        "-s", f"{_NIC_SLOT}:0,virtio-net",
    ]  # fmt: skip
    for index, disk in enumerate(vm.disks):
        words += ["-s", f"{_DISK_SLOT}:{index},{_disk(vm, index, disk)}"]
    words += ["-s", f"{_RNG_SLOT}:0,virtio-rnd", "-s", f"{_LPC_SLOT},lpc", "-l", "com1,stdio"]
    return (*words, *_boot(vm), *options.extra_args)


def links(vm: VmSpec) -> dict[Path, Path]:
    """Link → file, for what has a comma in its path: xhyve splits there, and nothing escapes one.

    That of a disk keeps its place: the serial its guest sees is made of it.
    """
    named = {"kernel": vm.kernel, "initrd": vm.initrd}
    named |= {f"disk{index}": disk.path for index, disk in enumerate(vm.disks)}
    if vm.firmware is not None:
        named["firmware"] = vm.firmware.code
    if vm.fbsd is not None:
        named["userboot"] = vm.fbsd.userboot
    return {
        vm.layout.link(name): path
        for name, path in named.items()
        if path is not None and "," in str(path)
    }


def _disk(vm: VmSpec, index: int, disk: Disk) -> str:
    path = _path(vm, f"disk{index}", disk.path)
    return f"virtio-blk,{path}{',ro' if disk.readonly else ''}"


def _boot(vm: VmSpec) -> tuple[str, ...]:
    if vm.firmware is not None:
        return ("-l", f"bootrom,{_path(vm, 'firmware', vm.firmware.code)}")
    if vm.fbsd is not None:
        userboot, volume = (
            _path(vm, "userboot", vm.fbsd.userboot),
            _path(vm, "disk0", vm.fbsd.volume),
        )
        return ("-f", f"fbsd,{userboot},{volume},{vm.cmdline}")
    kernel, initrd = _path(vm, "kernel", vm.kernel), _path(vm, "initrd", vm.initrd)
    return ("-f", f"kexec,{kernel},{initrd},{vm.cmdline}")


def _path(vm: VmSpec, name: str, path: Path | None) -> str:
    if path is None:
        return ""
    return str(vm.layout.link(name) if "," in str(path) else path)
