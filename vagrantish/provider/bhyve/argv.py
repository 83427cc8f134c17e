"""A machine as the commands that load, run and remove it under bhyve. Pure.

A guest is an object of the kernel, /dev/vmm/NAME: a loader makes it and puts a system into its
memory, bhyve runs it, and it stays when bhyve ends, until bhyvectl destroys it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.units import MIB

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.model import VmSpec

BHYVE, BHYVECTL, BHYVELOAD, GRUB = "bhyve", "bhyvectl", "bhyveload", "grub-bhyve"
IFCONFIG = "ifconfig"
_NIC_SLOT, _RNG_SLOT, _DISK_SLOT, _LPC_SLOT = 2, 3, 4, 31
_FUNCTIONS = 8
DISKS_MAX = _FUNCTIONS * (_LPC_SLOT - _DISK_SLOT)
_TAP_FIRST, _TAPS = 1000, 31000  # units go up to 32767 (sys/net/if_clone.c, IF_MAXUNIT)


@dataclass(frozen=True, kw_only=True)
class Programs:
    """Where they are; the names alone do for showing them."""

    bhyve: str = BHYVE
    bhyvectl: str = BHYVECTL
    bhyveload: str = BHYVELOAD
    grub: str = GRUB
    ifconfig: str = IFCONFIG


def vm_name(vm_id: str) -> str:
    return f"vx-{vm_id}"


def tap_name(vm_id: str, attempt: int = 0) -> str:
    """The machine's network device: the same at every start, others where that is taken."""
    return f"tap{_TAP_FIRST + (zlib.crc32(vm_id.encode()) + attempt) % _TAPS}"


def bhyve_argv(vm: VmSpec, *, tap: str) -> tuple[str, ...]:
    """Arguments for one run of bhyve, without the program's name."""
    words = [
        "-c", str(vm.cpus),
        "-m", memory_of(vm),
        "-A", "-H", "-P", "-u",
        "-U", vm.uuid,
        "-s", "0,hostbridge",
        "-s", f"{_NIC_SLOT},virtio-net,{tap},mac={vm.mac}",
        "-s", f"{_RNG_SLOT},virtio-rnd",
    ]  # fmt: skip
    for index, disk in enumerate(vm.disks):
        slot = f"{_DISK_SLOT + index // _FUNCTIONS}:{index % _FUNCTIONS}"
        words += ["-s", f"{slot},virtio-blk,{disk.path}{',ro' if disk.readonly else ''}"]
    words += ["-s", f"{_LPC_SLOT},lpc", "-l", "com1,stdio"]
    if vm.firmware is not None:
        kept = f",{vm.firmware.vars}" if vm.firmware.vars is not None else ""
        words += ["-l", f"bootrom,{vm.firmware.code}{kept}"]
    return (*words, *vm.bhyve.extra_args, vm_name(vm.id))


def memory_of(vm: VmSpec) -> str:
    """Whole MiB, rounded up; the loader and bhyve must be told the same."""
    return f"{-(-vm.memory_bytes // MIB)}M"


def loader_command(vm: VmSpec, programs: Programs) -> tuple[str, ...] | None:
    """What puts the system into the guest's memory; None where firmware does that."""
    if vm.firmware is not None:
        return None
    name, memory = vm_name(vm.id), memory_of(vm)
    if vm.fbsd is not None:
        library = ("-l", str(vm.fbsd.userboot)) if vm.fbsd.userboot is not None else ()
        variables = [word for pair in fbsd_variables(vm.cmdline) for word in ("-e", pair)]
        return (
            programs.bhyveload,
            "-c", "stdio",
            "-m", memory,
            "-d", str(vm.fbsd.volume),
            *variables,
            *library,
            name,
        )  # fmt: skip
    folder = vm.layout.loader_folder
    # -n: the kernel's words stay as they are, its console among them.
    return (
        programs.grub,
        "-n",
        "-m", str(folder / "device.map"),
        "-M", memory,
        "-r", "host",
        "-d", str(folder),
        name,
    )  # fmt: skip


def fbsd_variables(cmdline: str) -> tuple[str, ...]:
    """The loader's variables: words with a ``=`` in them, and a console FreeBSD knows."""
    words = [word for word in cmdline.split() if "=" in word]
    words = [word for word in words if not word.startswith("console=tty")]
    if not any(word.startswith("console=") for word in words):
        words.append("console=comconsole")
    return tuple(words)


def grub_config(vm: VmSpec) -> str:
    """grub.cfg: each word in single quotes, inside of which nothing means anything.

    ``exit`` is reached only when ``boot`` failed, and keeps grub from asking the user.
    """
    lines = [" ".join(["linux", _host(vm.kernel), *map(_quoted, vm.cmdline.split())])]
    if vm.initrd is not None:
        lines.append(f"initrd {_host(vm.initrd)}")
    return "\n".join([*lines, "boot", "exit", ""])


def device_map(vm: VmSpec) -> str:
    return "".join(f"(hd{index}) {disk.path}\n" for index, disk in enumerate(vm.disks))


def destroy_command(vm_id: str, programs: Programs) -> tuple[str, ...]:
    return (programs.bhyvectl, f"--vm={vm_name(vm_id)}", "--destroy")


def tap_commands(tap: str, bridge: str, programs: Programs) -> tuple[tuple[str, ...], ...]:
    """Make the guest's network device, in the bridge and up."""
    return (
        (programs.ifconfig, tap, "create"),
        (programs.ifconfig, bridge, "addm", tap, "up"),
        (programs.ifconfig, tap, "up"),
    )


def tap_destroy(tap: str, programs: Programs) -> tuple[str, ...]:
    return (programs.ifconfig, tap, "destroy")


def _host(path: Path | None) -> str:
    return _quoted(f"(host){path}")


def _quoted(word: str) -> str:
    return f"'{word}'"
