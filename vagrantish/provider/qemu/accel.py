"""Whether hardware acceleration works here, found out by timing real work.

That /dev/kvm opens, and even that a few instructions run, proves nothing: there are hosts whose
KVM is emulated in software and runs guests two hundred times slower than QEMU's own emulation.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vagrantish import locks
from vagrantish.errors import ProviderError
from vagrantish.files import host_errors
from vagrantish.provider import child
from vagrantish.provider.qemu.errors import said

if TYPE_CHECKING:
    from vagrantish.events import Op
    from vagrantish.paths import VxHome
    from vagrantish.provider.hostcache import HostCache

LIMIT_S = 0.5
_X86 = ("x86_64", "amd64", "i686", "i386")
_CANDIDATES = {"linux": "kvm", "darwin": "hvf"}
# A "no" may come from a busy moment, so it is not believed for long.
_DOUBT_AFTER_S = 3600
# 20 million turns of dec ecx; jnz, then 0x42 to the debug port, which ends QEMU with status
# (0x42 << 1) | 1. Working acceleration and emulation need 0.1 to 0.2 s, start of QEMU included.
_LOOP = bytes.fromhex("66b9002d3101 6649 75fc b042 e6f4 f4")
_LOOP_AT, _JUMP_TO_LOOP, _JUMP_AT = 0xF000, bytes.fromhex("e90df0"), 0xFFF0
_DONE_STATUS = 133


@dataclass(frozen=True, kw_only=True)
class Choice:
    accel: str  # "kvm", "hvf" or "tcg"
    notes: tuple[str, ...] = ()  # for people: why nothing faster is used


def choose(program: str, wanted: str, *, home: VxHome, cache: HostCache, op: Op) -> Choice:
    """What to run guests with. Raises ProviderError when ``wanted`` is named but unusable."""
    if wanted == "tcg":
        return Choice(accel="tcg")
    accel = _CANDIDATES.get(sys.platform, "") if wanted == "auto" else wanted
    if not accel:
        return Choice(accel="tcg")
    reason = obstacle(accel) or measured(program, accel, home=home, cache=cache, op=op)
    if not reason:
        return Choice(accel=accel)
    if wanted == "auto":
        return Choice(accel="tcg", notes=(f"{accel.upper()} is not used: {reason}",))
    raise ProviderError(
        f'`accel = "{accel}"` is set, but {accel.upper()} cannot be used: {reason}',
        hint='Set `accel = "auto"` or "tcg" under [qemu].',
    )


def reject(cache: HostCache, accel: str, reason: str) -> None:
    """Remember that ``accel`` failed where the probe found nothing wrong. Raises HostError."""
    cache.put(accel, {"reason": reason, "at": time.time()})


def obstacle(
    accel: str,
    *,
    device: Path = Path("/dev/kvm"),
    cpuinfo: Path = Path("/proc/cpuinfo"),
    processor: str = os.uname().machine,
) -> str:
    """What can be seen to be in the way without running anything; "" for nothing."""
    if _CANDIDATES.get(sys.platform) != accel:
        return "it is a part of macOS" if accel == "hvf" else "it is a part of Linux"
    if processor.lower() not in _X86:
        return f"an x86_64 guest can only be emulated on this processor ({processor})"
    return _kvm_obstacle(device, cpuinfo) if accel == "kvm" else ""


def measured(program: str, accel: str, *, home: VxHome, cache: HostCache, op: Op) -> str:
    """The verdict of ``timed_probe``, remembered for this host. Raises HostError, Cancelled."""
    known = _remembered(cache, accel)
    if known is not None:
        return known
    # Two probes at once would slow each other down and both come to the wrong result.
    with locks.hold(home.locks / "accel.lock", what="the look at this host", op=op):
        known = _remembered(cache, accel)
        if known is None:
            known = timed_probe(program, accel)
            cache.put(accel, {"reason": known, "at": time.time()})
        return known


def timed_probe(program: str, accel: str, *, limit_s: float = LIMIT_S) -> str:
    """Run a loop on ``accel``: "" when it ends in time, else what went wrong.

    Raises HostError when the program cannot be run at all.
    """
    with host_errors("make a temporary file"), tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(firmware())
        file.flush()
        finished = child.run(_probe_argv(program, accel, file.name), timeout_s=limit_s)
    if finished.status == _DONE_STATUS:
        return ""
    if finished.status is None:
        return (
            f"a 20-million-turn loop did not finish in {limit_s:g} s, so {accel.upper()} here is "
            "emulated and slower than software"
        )
    return f"QEMU cannot run it ({said(finished.output) or f'status {finished.status}'})"


def firmware() -> bytes:
    """64 KiB of halt instructions with the loop, as a BIOS: it starts at the reset vector."""
    image = bytearray(b"\xf4" * 0x10000)
    image[_LOOP_AT : _LOOP_AT + len(_LOOP)] = _LOOP
    image[_JUMP_AT : _JUMP_AT + len(_JUMP_TO_LOOP)] = _JUMP_TO_LOOP
    return bytes(image)


def _probe_argv(program: str, accel: str, bios: str) -> tuple[str, ...]:
    return (
        program,
        "-no-user-config",
        "-nodefaults",
        "-display", "none",
        "-machine", "q35",
        "-accel", accel,
        "-cpu", "qemu64",
        "-m", "2",
        "-bios", bios,
        "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
    )  # fmt: skip


def _kvm_obstacle(device: Path, cpuinfo: Path) -> str:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return f"there is no {device} (no virtualisation in this processor, or the module is not loaded)"
    except PermissionError:
        return f"you may not open {device}; joining the group that owns it helps, often `kvm`"
    except OSError as error:
        return f"{device} cannot be opened: {error.strerror}"
    try:
        flags = cpuinfo.read_bytes().split()
    except OSError as error:
        return f"{cpuinfo} cannot be read: {error.strerror}"
    if b"vmx" not in flags and b"svm" not in flags:
        return "this processor shows no vmx or svm (nested virtualisation is off?)"
    return ""


def _remembered(cache: HostCache, accel: str) -> str | None:
    kept = cache.get(accel)
    if not isinstance(kept, dict):
        return None
    reason, at = kept.get("reason"), kept.get("at")
    if not isinstance(reason, str) or not isinstance(at, int | float):
        return None
    is_fresh = not reason or 0 <= time.time() - at < _DOUBT_AFTER_S
    return reason if is_fresh else None
