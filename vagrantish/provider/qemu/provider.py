"""QEMU with user-mode networking: it needs no root, and guest ports appear on the host."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from vagrantish import proc
from vagrantish.errors import HostError, Problem, ProviderError
from vagrantish.model import Address, BootMode, Candidates
from vagrantish.provider import child, firmware, install, running
from vagrantish.provider.base import Capabilities, HostFacts
from vagrantish.provider.hostcache import HostCache
from vagrantish.provider.qemu import accel, start, stop
from vagrantish.provider.qemu.argv import check_socket, qemu_argv
from vagrantish.provider.qemu.errors import AccelFailed
from vagrantish.provider.qemu.kernels import kernel_problem
from vagrantish.provider.qemu.qmp import Qmp, QmpError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from vagrantish.diagnosis.endings import Ending
    from vagrantish.events import Op
    from vagrantish.model import QemuOptions, VmSpec
    from vagrantish.paths import MachineLayout, VxHome
    from vagrantish.proc import ProcessIdentity
    from vagrantish.provider.base import Started, StopOutcome

PROGRAM = "qemu-system-x86_64"
_OLDEST = (6, 0)
_VERSION_S = 5.0
_DETAILS_S = 1.0
_SERIAL_MAX = 20  # VIRTIO_BLK_ID_BYTES; QEMU cuts the rest off
_VERSION = re.compile(r"QEMU emulator version (\d+)\.(\d+)(?:\.(\d+))?")


class Qemu:
    name: ClassVar[str] = "qemu"
    capabilities: ClassVar[Capabilities] = Capabilities(
        forwards_ports=True,
        disk_formats=("qcow2", "raw"),
        boot_modes=(BootMode.KERNEL, BootMode.UEFI),
    )

    def __init__(self, home: VxHome) -> None:
        self._home = home

    def missing(self, options: QemuOptions) -> str:
        try:
            _find_program(options.binary)
        except ProviderError as error:
            return error.message
        return ""

    def assumed(self, options: QemuOptions) -> HostFacts:
        return HostFacts(program=options.binary or PROGRAM, version="", accel="tcg")

    def probe(self, options: QemuOptions, *, op: Op) -> HostFacts:
        """Raises HostError when QEMU is missing, ProviderError when it or its acceleration fails."""
        program = _find_program(options.binary)
        cache = HostCache(self._home, program)
        version = cache.get("version")
        if not isinstance(version, str):
            version = _version_of(program)
            cache.put("version", version)
        choice = accel.choose(program, options.accel, home=self._home, cache=cache, op=op)
        return HostFacts(program=program, version=version, accel=choice.accel, notes=choice.notes)

    def problems(self, vm: VmSpec, host: HostFacts) -> tuple[Problem, ...]:
        return tuple(_problems(vm, host))

    def argv(self, vm: VmSpec, host: HostFacts) -> tuple[str, ...]:
        return (host.program, *qemu_argv(vm, host))

    def start(self, vm: VmSpec, host: HostFacts, *, op: Op) -> Started:
        """Raises MachineBusy when it runs already, PortTaken, ProviderError."""
        try:
            return start.start(vm, host, op=op)
        except AccelFailed as error:
            if vm.qemu.accel != "auto":
                raise
            accel.reject(HostCache(self._home, host.program), host.accel, error.message)
            reason = error.message.rstrip(".")
            op.warn(f"{reason}. The guest is emulated instead, which is slower.")
            return start.start(vm, replace(host, accel="tcg"), op=op)

    def find(self, layout: MachineLayout) -> ProcessIdentity | None:
        return running.find(layout)

    def addresses(self, layout: MachineLayout) -> Candidates:
        where = running.address(layout)
        found = (Address(host=where[0], port=where[1]),) if where else ()
        return Candidates(addresses=found, certain=True)

    def ending(self, _layout: MachineLayout) -> Ending | None:
        return None  # it is nobody's child, so nobody learns its status

    def details(self, layout: MachineLayout) -> Mapping[str, Any]:
        """``status``, ``version``, ``accel``, ``cpus``; empty when QEMU does not answer."""
        process = running.find(layout)
        if process is None:
            return {}
        argv = proc.arguments(process.pid)
        try:
            with Qmp(layout.qmp_socket, timeout_s=_DETAILS_S) as qmp:
                version = qmp.execute("query-version")["qemu"]
                return {
                    "status": str(qmp.execute("query-status")["status"]),
                    "version": f"{version['major']}.{version['minor']}.{version['micro']}",
                    "accel": (running.option_of(argv, "-accel") or "").partition(",")[0],
                    "cpus": len(qmp.execute("query-cpus-fast")),
                }
        except (QmpError, KeyError, TypeError):
            return {}

    def stop(
        self,
        layout: MachineLayout,
        *,
        grace_s: float,
        ask_guest: Callable[[], object] | None,
        op: Op,
    ) -> StopOutcome:
        return stop.stop(layout, grace_s=grace_s, ask_guest=ask_guest, op=op)


def _find_program(binary: str | None) -> str:
    wanted = os.path.expanduser(binary or PROGRAM)
    found = shutil.which(wanted)
    if found is not None:
        return os.path.abspath(found)
    if binary is None:
        raise HostError(
            f"QEMU is not installed: no {PROGRAM} on PATH",
            hint=install.hint("qemu"),
        )
    what = "is not there"
    if os.path.exists(wanted):
        what = "cannot be run: it is a folder, or not marked executable"
    raise HostError(
        f"the QEMU named under [qemu], {binary}, {what}",
        hint=f"Correct `binary`, or take it out to use the {PROGRAM} on PATH.",
    )


def _version_of(program: str) -> str:
    finished = child.run((program, "--version"), timeout_s=_VERSION_S)
    match = _VERSION.search(finished.output)
    if finished.status is None:
        what = f"did not answer `--version` within {_VERSION_S:g} s"
    elif not match:
        first = finished.output.partition("\n")[0][:100]
        said = f'answered "{first}"' if first else f"ended with status {finished.status}"
        what = f"is not a working QEMU: asked for its version, it {said}"
    else:
        return ".".join(part for part in match.groups() if part is not None)
    raise ProviderError(
        f"{program} {what}",
        hint=f"Correct `binary` under [qemu], or reinstall QEMU. {install.hint('qemu', sys.platform.rstrip('0123456789'))}",
    )


def _problems(vm: VmSpec, host: HostFacts) -> Iterator[Problem]:
    version = tuple(int(part) for part in host.version.split(".")[:2] if part.isdigit())
    if version < _OLDEST:
        oldest = ".".join(str(part) for part in _OLDEST)
        yield Problem(
            vm.name,
            f"QEMU {host.version} ({host.program}) is too old: {oldest} or later is needed",
            "Update QEMU, or name a newer one: [qemu] binary.",
        )
    if vm.arch != "x86_64":
        yield Problem(
            vm.name,
            f"machine {vm.name} is for {vm.arch}: the qemu provider runs x86_64 guests only",
            "Use the x86_64 version of the box.",
        )
    yield from _boot_problems(vm)
    yield from _file_problems(vm)
    for forward in vm.forwards:
        try:
            ipaddress.IPv4Address(forward.host_ip)
        except ValueError:
            yield Problem(
                vm.name,
                f"guest port {forward.guest} of {vm.name}: host_ip {forward.host_ip!r} is not an "
                "IPv4 address, and QEMU forwards no others",
                "Write 127.0.0.1, or 0.0.0.0 for every address of this host.",
            )
    try:
        check_socket(vm.layout.console_socket)
    except ProviderError as error:
        yield Problem(vm.name, error.message, error.hint)


def _boot_problems(vm: VmSpec) -> Iterator[Problem]:
    """Of what is run before anything on a disk."""
    if vm.kernel is None:
        yield from _firmware_problems(vm)
        return
    wrong = kernel_problem(vm.kernel)
    if wrong:
        yield Problem(
            vm.name,
            f"{vm.kernel} is not a kernel QEMU can boot: {wrong}",
            "Name a bzImage or vmlinux for x86_64 that you may read.",
        )


def _firmware_problems(vm: VmSpec) -> Iterator[Problem]:
    code = vm.firmware.code if vm.firmware is not None else None
    if code is None:
        yield Problem(
            vm.name,
            f"there is no UEFI for QEMU on this host, and machine {vm.name} boots by it",
            firmware.install_hint("qemu"),
        )
    elif wrong := firmware.problem(code, is_code=True):
        yield Problem(
            vm.name,
            f"{code} cannot be UEFI's code: it {wrong}",
            "Correct `firmware` under [boot], or take it out to use the one of this host.",
        )


def _file_problems(vm: VmSpec) -> Iterator[Problem]:
    for disk in vm.disks:
        if disk.format not in Qemu.capabilities.disk_formats:
            yield Problem(
                vm.name,
                f"disk {disk.path} has the format {disk.format}, which the qemu provider does not "
                "take",
                f"Convert it: `qemu-img convert -O qcow2 {disk.path} NEW`.",
            )
        if len(disk.serial) > _SERIAL_MAX:
            yield Problem(
                vm.name,
                f'the serial "{disk.serial}" of disk {disk.path} has more than {_SERIAL_MAX} '
                "characters",
                "Give the disk a shorter name.",
            )
    files = [("initrd", vm.initrd)] if vm.initrd is not None else []
    files += [("disk", disk.path) for disk in vm.disks]
    for what, path in files:
        # What lies in the machine's own folder is made just before the start.
        if vm.layout.directory not in path.parents and not _is_readable(path):
            yield Problem(
                vm.name,
                f"the {what} {path} of machine {vm.name} is missing or may not be read",
                "If the box is damaged, `vx box verify` tells; else check the file's owner.",
            )


def _is_readable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)
