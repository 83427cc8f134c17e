"""A machine as QEMU's argument list. Pure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vagrantish.errors import ProviderError
from vagrantish.model import Forward
from vagrantish.paths import SOCKET_PATH_MAX
from vagrantish.units import MIB

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.model import VmSpec
    from vagrantish.provider.base import HostFacts

_CPU_ANYTHING = "max"
# The fastest model to emulate; it has just what x86-64-v1 promises.
_CPU_BASELINE = "qemu64"
# Emulation keeps translated code in memory, up to 1 GiB of it when not told otherwise. A small
# guest is as fast with 64 MiB, a distribution's system with 128 MiB (both measured).
_SMALL_GUEST_BYTES = 512 * MIB
_CACHE_SMALL_MIB, _CACHE_MIB = 64, 128


def wanted_forwards(vm: VmSpec) -> tuple[Forward, ...]:
    """ssh's own forward, then the user's."""
    ssh = Forward(guest=vm.guest_ssh_port, host=vm.ssh_port, auto=not vm.ssh_port_fixed)
    return (ssh, *vm.forwards)


def qemu_argv(
    vm: VmSpec, host: HostFacts, forwards: tuple[Forward, ...] | None = None
) -> tuple[str, ...]:
    """Arguments for one run of QEMU, without the program's name.

    ``forwards``, ssh's first, replaces the ports the machine asks for by those it gets; a host
    port of 0 lets QEMU pick. Memory goes out in whole MiB, rounded up. Raises ProviderError where
    a socket's path does not fit.
    """
    layout = vm.layout
    for path in (layout.qmp_socket, layout.console_socket):
        check_socket(path)
    routes = wanted_forwards(vm) if forwards is None else forwards
    return (
        "-name", escape(vm.name),
        "-uuid", vm.uuid,
        "-no-user-config",
        "-nodefaults",
        "-display", "none",
        "-machine", vm.qemu.machine or "q35",
        "-accel", _accel(vm, host),
        "-cpu", _cpu(vm, host),
        "-smp", str(vm.cpus),
        "-m", f"{-(-vm.memory_bytes // MIB)}M",
        *_boots(vm),
        # Without an entropy source a guest's first key exchange waits for more than a second.
        "-device", "virtio-rng-pci",
        *_disks(vm),
        "-netdev", ",".join(("user", "id=net0", *(f"hostfwd={rule_of(f)}" for f in routes))),
        # No boot ROM: the kernel is given, so nothing is ever booted from the network.
        "-device", f"virtio-net-pci,netdev=net0,mac={vm.mac},romfile=",
        "-chardev", _socket("console", layout.console_socket, logfile=layout.console_log),
        "-serial", "chardev:console",
        "-chardev", _socket("qmp", layout.qmp_socket),
        "-mon", "chardev=qmp,mode=control",
        "-pidfile", str(layout.pid_file),
        # No -D: it takes only with a -d class, and each of those lets the guest fill the disk.
        "-daemonize",
        *vm.qemu.extra_args,
    )  # fmt: skip


def rule_of(forward: Forward) -> str:
    """A forward as QEMU writes it, in options and in its complaints."""
    return f"{forward.proto}:{forward.host_ip}:{forward.host}-:{forward.guest}"


def escape(value: str | Path) -> str:
    """A value inside a list of options, where a comma would end it (qemu-options, "-set")."""
    return str(value).replace(",", ",,")


def check_socket(path: Path) -> None:
    """Raises ProviderError when ``path`` is too long for a Unix socket."""
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_MAX:
        raise ProviderError(
            f"{path} is too long for a socket: {length} bytes, at most {SOCKET_PATH_MAX} work",
            hint="Set VX_HOME to a folder with a shorter path, such as ~/.vx.",
        )


def _accel(vm: VmSpec, host: HostFacts) -> str:
    if host.accel != "tcg":
        return host.accel
    small = vm.memory_bytes <= _SMALL_GUEST_BYTES and not vm.disks
    return f"tcg,tb-size={_CACHE_SMALL_MIB if small else _CACHE_MIB}"


def _cpu(vm: VmSpec, host: HostFacts) -> str:
    if vm.qemu.cpu:
        return vm.qemu.cpu
    if host.accel != "tcg":
        return "host"
    return _CPU_BASELINE if vm.cpu_level == "x86-64-v1" else _CPU_ANYTHING


def _boots(vm: VmSpec) -> tuple[str, ...]:
    if vm.kernel is None:
        return _firmware(vm)
    initrd = ("-initrd", str(vm.initrd)) if vm.initrd is not None else ()
    return ("-kernel", str(vm.kernel), *initrd, "-append", vm.cmdline)


def _firmware(vm: VmSpec) -> tuple[str, ...]:
    """Flash: the code that all machines share, and behind it the variables of this one."""
    if vm.firmware is None or vm.firmware.code is None:
        return ()
    code = f"if=pflash,unit=0,format=raw,readonly=on,file={escape(vm.firmware.code)}"
    if vm.firmware.vars is None:
        return ("-drive", code)
    return (
        "-drive",
        code,
        "-drive",
        f"if=pflash,unit=1,format=raw,file={escape(vm.firmware.vars)}",
    )


def _disks(vm: VmSpec) -> tuple[str, ...]:
    words: list[str] = []
    for index, disk in enumerate(vm.disks):
        drive = f"if=none,id=disk{index},file={escape(disk.path)},format={disk.format}"
        # What the guest discards or zeroes becomes a hole again.
        drive += ",readonly=on" if disk.readonly else ",discard=unmap,detect-zeroes=unmap"
        device = f"virtio-blk-pci,drive=disk{index},serial={escape(disk.serial)}"
        words += ["-drive", drive, "-device", device]
    return tuple(words)


def _socket(name: str, path: Path, *, logfile: Path | None = None) -> str:
    """A socket QEMU listens on without waiting for anybody; all that goes out is logged as well."""
    log = f",logfile={escape(logfile)}" if logfile is not None else ""
    return f"socket,id={name},path={escape(path)},server=on,wait=off{log}"
