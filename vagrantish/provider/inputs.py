"""What is wrong with the files a machine is made of, for any hypervisor that reads them itself."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from vagrantish.errors import Problem
from vagrantish.formats import sniff

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.model import VmSpec

_SECTOR = 512
CHECK_FILE = "If the box is damaged, `vx box verify` tells; else check the file's owner."


def is_own(vm: VmSpec, path: Path) -> bool:
    """Whether it lies in the machine's own folder, where files are made just before the start."""
    return vm.layout.directory in path.parents


def comes_later(vm: VmSpec, path: Path) -> bool:
    """Whether it is one of those, and not made yet."""
    return is_own(vm, path) and not os.path.lexists(path)


def read_head(path: Path, count: int) -> tuple[bytes, int]:
    """Its first bytes, and how many it has. Raises OSError, also for what is no file."""
    if not path.is_file():
        path.stat()
        raise OSError(0, "it is not a file")
    with path.open("rb") as file:
        return file.read(count), os.fstat(file.fileno()).st_size


def unreadable(vm: VmSpec, what: str, path: Path, error: OSError) -> Problem:
    reason = error.strerror or str(error)
    return Problem(vm.name, f"the {what} {path} cannot be read: {reason}", CHECK_FILE)


def disk_image(path: Path) -> str:
    """Which kind of disk image it is that is not raw: "a qcow2 disk image"; "" for none of them."""
    try:
        head, _ = read_head(path, sniff.HEAD_BYTES)
    except OSError:
        return ""
    kind = sniff.describe(head)
    return kind if kind.endswith("disk image") else ""


def raw_problems(vm: VmSpec, provider: str) -> Iterator[Problem]:
    """Of the disks, where a hypervisor takes raw ones only and would show all others as garbage."""
    for disk in vm.disks:
        kind = "" if disk.format == "raw" else f"a {disk.format} disk image"
        kind = kind or disk_image(disk.path)
        if kind:
            yield Problem(
                vm.name,
                f"disk {disk.path} is not raw, and {provider} takes no other: it is {kind}",
                f"Convert it: `qemu-img convert -O raw {disk.path} NEW`.",
            )


def disk_use_problem(path: Path, *, readonly: bool, devices: bool = False) -> str:
    """Why the user cannot have a guest use it, in a clause; "" where he can.

    ``devices``: character devices will do.
    """
    try:
        found = path.stat()
    except OSError as error:
        return f"cannot be used: {error.strerror or error}"
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFCHR and not devices:
        return "is a raw device, for which there must be a block device too: name that"
    if kind not in (stat.S_IFREG, stat.S_IFBLK, stat.S_IFCHR):
        return "is neither a file nor a disk"
    if kind == stat.S_IFREG and found.st_size < _SECTOR:
        return f"has {found.st_size} bytes, which is less than one sector"
    for mode, what in ((os.R_OK, "read"), (os.R_OK if readonly else os.W_OK, "written")):
        if not os.access(path, mode):
            return f"may not be {what} by you"
    return ""
