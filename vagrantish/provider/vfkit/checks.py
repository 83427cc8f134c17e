"""What is wrong with a machine for vfkit, before it is started.

vfkit itself finds little of this, and says it in the words of Apple's framework.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vagrantish.errors import Problem
from vagrantish.formats import arm64image, bzimage, sniff
from vagrantish.paths import SOCKET_PATH_MAX
from vagrantish.provider import inputs
from vagrantish.provider.vfkit.argv import cmdline_of, variable_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.model import VmSpec

_SERIAL_MAX = 20  # VIRTIO_BLK_ID_BYTES


def problems(vm: VmSpec, *, arch: str) -> Iterator[Problem]:
    """``arch`` is the host's: the framework runs guests of no other."""
    if vm.arch != arch:
        yield Problem(
            vm.name,
            f"machine {vm.name} is for {vm.arch}, and vfkit on this host runs {arch} guests only",
            f"Use the {arch} version of the box.",
        )
    if not vm.mac:
        yield Problem(vm.name, f"machine {vm.name} has no MAC address", "Destroy and make it anew.")
    if vm.fbsd is not None:
        yield Problem(
            vm.name,
            "vfkit has no FreeBSD loader",
            'Set `mode = "uefi"` under [boot].',
        )
    elif vm.kernel is None and vm.firmware is None:
        yield Problem(
            vm.name,
            f"machine {vm.name} has neither a kernel nor UEFI to boot from",
            'Name a kernel, or set `mode = "uefi"` under [boot].',
        )
    yield from _path_problems(vm)
    if vm.kernel is not None:
        yield from _kernel_problems(vm, vm.kernel)
    yield from _disk_problems(vm)


def kernel_problem(head: bytes, size_bytes: int, *, arch: str) -> tuple[str, str]:
    """What is wrong with the kernel that starts with ``head``, and what to do; "" for nothing.

    vfkit looks for the mark of an arm64 Image and calls all others compressed
    (pkg/vf/bootloader.go); an Intel host takes a bzImage.
    """
    if arch == "x86_64":
        try:
            bzimage.parse(head, size_bytes)
        except bzimage.KernelError as error:
            return str(error), "Name a bzImage: what distributions call vmlinuz."
        return "", ""
    if head[0x38:0x3C] == b"ARM\x64":
        return "", ""
    if head.startswith(b"\x1f\x8b"):
        return "it is compressed with gzip", "Unpack it: `gunzip -c KERNEL > Image`; name that."
    if head[4:8] == b"zimg":
        return (
            "it is a compressed EFI kernel (zboot)",
            'Take the Image out of it, or boot the disk with `mode = "uefi"` under [boot].',
        )
    what = sniff.describe(head[: sniff.HEAD_BYTES])
    return f"it is {what}, not an uncompressed arm64 Image", "Name an uncompressed Image for arm64."


def _path_problems(vm: VmSpec) -> Iterator[Problem]:
    """Devices are split at every comma (pkg/config/virtio.go), boot loaders at those out of quotes."""
    named: list[tuple[str, Path]] = [(f"disk {disk.serial}", disk.path) for disk in vm.disks]
    named.append(("console log", vm.layout.console_log))
    if vm.kernel is None:
        named.append(("UEFI variables", variable_store(vm)))
    else:
        named.append(("kernel", vm.kernel))
        named += [("initrd", vm.initrd)] if vm.initrd is not None else []
    for what, path in named:
        for sign, name in ((",", "a comma"), ('"', "a double quote")):
            if sign in str(path):
                yield Problem(
                    vm.name,
                    f"the path of the {what}, {path}, has {name} in it, which vfkit cannot take",
                    "Rename that folder; if it is in VX_HOME, set VX_HOME to another.",
                )
    length = len(os.fsencode(vm.layout.rest_socket))
    if length > SOCKET_PATH_MAX:
        yield Problem(
            vm.name,
            f"{vm.layout.rest_socket} is too long for a socket: {length} bytes, at most "
            f"{SOCKET_PATH_MAX} work",
            "Set VX_HOME to a folder with a shorter path, such as ~/.vx.",
        )


def _kernel_problems(vm: VmSpec, kernel: Path) -> Iterator[Problem]:
    if '"' in vm.cmdline:
        yield Problem(
            vm.name,
            f"the kernel's command line has a double quote in it, which vfkit cannot take: "
            f"{vm.cmdline}",
            "Write that word without quotes, or put the option into the guest's own files.",
        )
    try:
        head, size = inputs.read_head(kernel, bzimage.HEAD_BYTES)
    except OSError as error:
        if not inputs.is_own(vm, kernel):
            yield inputs.unreadable(vm, "kernel", kernel, error)
        return
    wrong, hint = kernel_problem(head, size, arch=vm.arch)
    if wrong:
        yield Problem(vm.name, f"{kernel} is not a kernel vfkit can boot: {wrong}", hint)
        return
    longest = (
        bzimage.parse(head, size).cmdline_size
        if vm.arch == "x86_64"
        else arm64image.cmdline_max(head, size)
    )
    length = len(os.fsencode(cmdline_of(vm.cmdline)))
    if length > longest:
        yield Problem(
            vm.name,
            f"the kernel's command line has {length} bytes, and this kernel takes {longest}",
            "Shorten `cmdline` under [boot].",
        )


def _disk_problems(vm: VmSpec) -> Iterator[Problem]:
    yield from inputs.raw_problems(vm, "vfkit")
    for disk in vm.disks:
        if "," in disk.serial or not 0 < len(disk.serial) <= _SERIAL_MAX:
            yield Problem(
                vm.name,
                f'the serial "{disk.serial}" of disk {disk.path} is empty, has a comma or more '
                f"than {_SERIAL_MAX} characters",
                "Give the disk a shorter name.",
            )
    files = [("initrd", vm.initrd)] if vm.initrd is not None else []
    files += [("disk", disk.path) for disk in vm.disks]
    for what, path in files:
        if inputs.is_own(vm, path):
            continue
        # The framework opens every disk for writing.
        needed = os.R_OK | (os.W_OK if what == "disk" else 0)
        if not (path.is_file() and os.access(path, needed)):
            yield Problem(
                vm.name,
                f"the {what} {path} of machine {vm.name} is missing or may not be used",
                inputs.CHECK_FILE,
            )
