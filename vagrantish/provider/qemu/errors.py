"""What QEMU says when it does not start, as errors that say how to go on. Pure.

The texts are QEMU 7.2's, tried one by one; what none of them matches is passed on as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vagrantish.errors import MachineBusy, ProviderError, VxError
from vagrantish.units import format_size

if TYPE_CHECKING:
    from vagrantish.model import VmSpec

_SAID_MAX = 600
_PREFIX = re.compile(r"^(?:\S*qemu[\w.-]*): ", re.MULTILINE)
_PID_LOCK = re.compile(r"Cannot lock pid file")
_ACCEL = re.compile(
    r"-accel |failed to initialize (?:kvm|hvf)|Could not access KVM|kvm_\w+:|failed to set MSR"
    r"|KVM internal error|KVM: entry failed|HV_ERROR|invalid accelerator",
    re.IGNORECASE,
)
_TOO_LITTLE_MEMORY = re.compile(r"initrd is too large|ram size too small", re.IGNORECASE)

# What QEMU says → what is wrong (\1 is the pattern's group; {name} the machine), what to do.
_KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        r"unable to find CPU model '(.*)'",
        r"QEMU knows no processor \1",
        "Change `cpu` under [qemu]; `{program} -cpu help` lists what it knows.",
    ),
    (
        r"unsupported machine type",
        "QEMU knows no machine type {machine}",
        "Change `machine` under [qemu]; `{program} -machine help` lists what it knows.",
    ),
    (
        r"cannot set up guest memory|Cannot allocate memory|Could not allocate",
        "this host cannot give machine {name} {memory} of memory",
        "Lower `memory`, or halt other machines: `vx global-status` shows them.",
    ),
    (
        r"Invalid SMP CPUs \d+\. The max CPUs supported by machine '.*' is (\d+)",
        r"machine {name} wants {cpus} processors; QEMU can do \1",
        "Lower `cpus`.",
    ),
    (
        r"could not open kernel file '(.*?)': (.*)",
        r"QEMU cannot read the kernel \1: \2",
        "Check who may read it, or name another box.",
    ),
    (
        r"(linux kernel too old to load a ram disk|invalid kernel header|could not load kernel)",
        "{kernel} is not a Linux kernel QEMU can boot",
        "Name a bzImage or vmlinux for x86_64; if the box is yours, build it again.",
    ),
    (
        r"Failed to open file '(.*?)'|could not load initrd '(.*?)'",
        "QEMU cannot read the initrd {initrd}",
        "Check who may read it, or name another box.",
    ),
    (
        r"Failed to get \"\w+\" lock\s+Is another process using the image \[(.*?)\]",
        r"the disk \1 is in use by another process",
        "Two machines cannot share a disk they write to: halt the other one first.",
    ),
    (
        r"Image is not in (\S+) format",
        r"the disk of machine {name} is not in \1 format",
        "If it is damaged, `vx destroy` and `vx up` make the machine afresh.",
    ),
    (
        r"Could not open '(.*?)': (.*)",
        r"QEMU cannot open the disk \1: \2",
        "Check that it exists and who may read and write it.",
    ),
    (
        r"(-\S+: invalid option|.* is not a valid device model name)",
        r"QEMU does not understand an argument: \1",
        "Check `extra_args` under [qemu]; `vx argv {name}` prints the whole command.",
    ),
    (
        r"(?:Failed to bind socket to|Could not create) '?(.*?)'?: (.*)",
        r"QEMU cannot make \1: \2",
        "Check who owns the folder and its mode, or point VX_HOME at one you can write.",
    ),
)


class AccelFailed(ProviderError):
    """The acceleration that looked usable was not."""

    code = "accel"


def said(output: str) -> str:
    """QEMU's own words on one line, without its name."""
    text = "; ".join(_PREFIX.sub("", output).split("\n"))
    return text if len(text) <= _SAID_MAX else f"{text[:_SAID_MAX]}…"


def translate(output: str, status: int, vm: VmSpec, *, program: str, accel: str) -> VxError:
    """The error for a QEMU that ended with ``status`` instead of starting, saying ``output``."""
    if _PID_LOCK.search(output):
        return MachineBusy(
            f"machine {vm.name} is already running, or is just being started",
            hint="Run the same command again.",
        )
    if _TOO_LITTLE_MEMORY.search(output):
        return ProviderError(
            f"machine {vm.name} has too little memory ({format_size(vm.memory_bytes)}) "
            f"for its initrd: {said(output)}",
            hint="Raise `memory`.",
        )
    if accel != "tcg" and (_ACCEL.search(output) or status < 0):
        return AccelFailed(
            f"{accel.upper()} failed as machine {vm.name} was started: "
            f"{said(output) or f'QEMU died of signal {-status}'}",
            hint='Set `accel = "tcg"` under [qemu] to do without.',
        )
    facts = {
        "name": vm.name,
        "program": program,
        "machine": vm.qemu.machine or "q35",
        "memory": format_size(vm.memory_bytes),
        "cpus": str(vm.cpus),
        "kernel": str(vm.kernel),
        "initrd": str(vm.initrd),
    }
    plain = _PREFIX.sub("", output)
    for pattern, message, hint in _KNOWN:
        match = re.search(pattern, plain)
        if match:
            return ProviderError(_fill(match.expand(message), facts), hint=_fill(hint, facts))
    reason = said(output) or (
        f"it died of signal {-status}" if status < 0 else f"it ended with status {status}"
    )
    return ProviderError(
        f"QEMU did not start machine {vm.name}: {reason}",
        hint=f"`vx argv {vm.name}` prints the command to try by hand.",
    )


def _fill(text: str, facts: dict[str, str]) -> str:
    """Not str.format: what QEMU said may hold braces of its own."""
    for name, value in facts.items():
        text = text.replace("{" + name + "}", value)
    return text
