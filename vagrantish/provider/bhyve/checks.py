"""What is wrong with a machine for bhyve and its loaders, before anything of it is made."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from vagrantish.errors import Problem
from vagrantish.formats import bzimage
from vagrantish.provider import inputs
from vagrantish.provider.bhyve.argv import DISKS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.model import VmSpec

# grub puts a backslash before these in a kernel's command line (grub-core/lib/cmdline.c).
_GRUB_CHANGES = re.compile(r"""["'\\]""")
_ROM_UNIT, _ROM_MAX = 4096, 16 << 20  # usr.sbin/bhyve/bootrom.c


def problems(vm: VmSpec) -> Iterator[Problem]:
    if vm.arch != "x86_64":
        yield Problem(
            vm.name,
            f"machine {vm.name} is for {vm.arch}: the bhyve provider runs x86_64 guests only",
            "Use the x86_64 version of the box.",
        )
    if not vm.mac:
        yield Problem(vm.name, f"machine {vm.name} has no MAC address", "Destroy and make it anew.")
    yield from _path_problems(vm)
    yield from _disk_problems(vm)
    if vm.firmware is not None:
        yield from _firmware_problems(vm, vm.firmware.code)
    elif vm.fbsd is None and vm.kernel is not None:
        yield from _kernel_problems(vm, vm.kernel)
    elif vm.fbsd is None:
        yield Problem(
            vm.name,
            f"machine {vm.name} has nothing to boot from",
            'Name a kernel, or set `mode` under [boot] to "uefi" or "fbsd".',
        )


def _path_problems(vm: VmSpec) -> Iterator[Problem]:
    """bhyve splits devices at every comma; grub takes all but a single quote in quotes."""
    signs = [(f"disk {disk.serial}", disk.path, ",") for disk in vm.disks]
    if vm.firmware is not None:
        code = [("UEFI firmware", vm.firmware.code)] if vm.firmware.code is not None else []
        kept = [("UEFI variables", vm.firmware.vars)] if vm.firmware.vars is not None else []
        signs += [(what, path, ",") for what, path in code + kept]
    elif vm.fbsd is None:
        files = [("kernel", vm.kernel), ("initrd", vm.initrd)]
        signs += [(what, path, "'") for what, path in files if path is not None]
    for what, path, sign in signs:
        named = "a comma" if sign == "," else "a single quote"
        if sign in str(path) or "\n" in str(path):
            yield Problem(
                vm.name,
                f"the path of the {what}, {path}, has {named} in it, which bhyve cannot take",
                "Rename that folder; if it is in VX_HOME, set VX_HOME to another.",
            )


def _kernel_problems(vm: VmSpec, kernel: Path) -> Iterator[Problem]:
    if _GRUB_CHANGES.search(vm.cmdline):
        yield Problem(
            vm.name,
            "the kernel's command line has a quote or a backslash in it, which grub-bhyve would "
            f"change: {vm.cmdline}",
            "Write that word without it, or put the option into the guest's own files.",
        )
    try:
        head, size = inputs.read_head(kernel, bzimage.HEAD_BYTES)
    except OSError as error:
        if not inputs.is_own(vm, kernel):
            yield inputs.unreadable(vm, "kernel", kernel, error)
        return
    try:
        parsed = bzimage.parse(head, size)
    except bzimage.KernelError as error:
        yield Problem(
            vm.name,
            f"{kernel} is not a kernel grub-bhyve can load: {error}",
            "Name a bzImage: what distributions call vmlinuz.",
        )
        return
    length = len(os.fsencode(vm.cmdline))
    if length > parsed.cmdline_size:
        yield Problem(
            vm.name,
            f"the kernel's command line has {length} bytes, and this kernel takes "
            f"{parsed.cmdline_size}",
            "Shorten `cmdline` under [boot].",
        )


def _firmware_problems(vm: VmSpec, code: Path | None) -> Iterator[Problem]:
    if code is None:
        yield Problem(
            vm.name,
            "there is no UEFI firmware for bhyve on this host",
            "Install it: `pkg install bhyve-firmware`, or name one: [boot] firmware.",
        )
        return
    try:
        size = code.stat().st_size
    except OSError as error:
        yield Problem(
            vm.name,
            f"the UEFI firmware {code} cannot be read: {error.strerror or error}",
            "Install it: `pkg install bhyve-firmware`, or name another: [boot] firmware.",
        )
        return
    if size % _ROM_UNIT or not 0 < size <= _ROM_MAX:
        yield Problem(
            vm.name,
            f"{code} is no UEFI firmware for bhyve: it has {size} bytes, not whole pages up to "
            "16 MiB",
            "Name that of the package bhyve-firmware: BHYVE_UEFI.fd.",
        )


def _disk_problems(vm: VmSpec) -> Iterator[Problem]:
    if len(vm.disks) > DISKS_MAX:
        yield Problem(
            vm.name, f"machine {vm.name} has more than {DISKS_MAX} disks", "Take some out."
        )
    yield from inputs.raw_problems(vm, "bhyve")
    files = [("initrd", vm.initrd)] if vm.initrd is not None and vm.kernel is not None else []
    files += [("disk", disk.path) for disk in vm.disks]
    for what, path in files:
        if not inputs.is_own(vm, path) and not _is_readable(path):
            yield Problem(
                vm.name,
                f"the {what} {path} of machine {vm.name} is missing or may not be read",
                inputs.CHECK_FILE,
            )


def _is_readable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)
