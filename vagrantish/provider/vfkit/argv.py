"""A machine as vfkit's argument list. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from vagrantish.units import MIB

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.model import Disk, VmSpec

CONSOLE = "hvc0"
# Serial ports of PCs and of ARM boards: the framework gives a guest none of them.
_SERIAL = re.compile(r"console=tty(?:S|AMA)\d+(?:,.*)?")


def vfkit_argv(vm: VmSpec) -> tuple[str, ...]:
    """Arguments for one run of vfkit, without the program's name.

    Memory goes out in whole MiB, rounded up.
    """
    words = ["--cpus", str(vm.cpus), "--memory", str(-(-vm.memory_bytes // MIB))]
    words += ["--bootloader", bootloader_of(vm)]
    for disk in vm.disks:
        words += ["--device", _disk(disk)]
    words += [
        "--device", f"virtio-net,nat,mac={vm.mac}",
        "--device", "virtio-rng",
        # A file, and not stdio: vfkit's REST service writes its own log to stdout.
        "--device", f"virtio-serial,logFilePath={vm.layout.console_log}",
        "--restful-uri", rest_uri(vm.layout.rest_socket),
        # Otherwise what went wrong stands behind lines about what did not.
        "--log-level", "error",
        *vm.vfkit.extra_args,
    ]  # fmt: skip
    return tuple(words)


def bootloader_of(vm: VmSpec) -> str:
    """The value of ``--bootloader``; quotes protect commas in it (pkg/cmdline/string_slice.go)."""
    if vm.kernel is None:
        return f"efi,variable-store={variable_store(vm)},create"
    parts = ["linux", f"kernel={vm.kernel}"]
    if vm.initrd is not None:
        parts.append(f"initrd={vm.initrd}")
    return ",".join([*parts, f'cmdline="{cmdline_of(vm.cmdline)}"'])


def cmdline_of(cmdline: str) -> str:
    """The kernel's words with the one console a guest has here as their last.

    Words behind ``--`` are init's, so it goes before them.
    """
    words = [w for w in cmdline.split() if w != f"console={CONSOLE}" and not _SERIAL.fullmatch(w)]
    end = words.index("--") if "--" in words else len(words)
    return " ".join([*words[:end], f"console={CONSOLE}", *words[end:]])


def variable_store(vm: VmSpec) -> Path:
    """Where the guest's UEFI variables are: the framework has firmware of its own, and needs it."""
    kept = vm.firmware.vars if vm.firmware is not None else None
    return kept if kept is not None else vm.layout.directory / "efi-variables"


def rest_uri(path: Path) -> str:
    """vfkit reads it as a URL, so ``%`` and ``?`` mean something in it (pkg/rest/rest.go)."""
    return f"unix://{quote(str(path))}"


def _disk(disk: Disk) -> str:
    return f"virtio-blk,path={disk.path},deviceId={disk.serial}"
