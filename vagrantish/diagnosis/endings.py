"""How a hypervisor ended, from its exit status, its time, its guest and its error stream. Pure."""

from __future__ import annotations

import re
import signal as signals
from dataclasses import dataclass
from enum import StrEnum

from vagrantish.formats.guesttext import clean

_START_S = 2.0  # a guest that powers off sooner without a word did not run
_SAID_MAX = 300
_STDERR_MAX = 64 << 10  # characters of it that are looked at, from the end

# xhyve and its kin go on after these (xhyve src/vmm/x86.c, src/inout.c).
_CHATTER = re.compile(r"(?:rd|wr)msr to register |Unhandled (?:in|out)[bwl] 0x|^\s*$")
_NOT_LOADED = re.compile(r"kexec: failed to load |\bhv_\w+|Unable to create VM|code signature")
_VM_EXIT = re.compile(
    r"vm exit\[\d+\]|exit_reason\s+\d|Failed to emulate instruction|Unhandled memory access"
)
_OUTSIDE = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGKILL", "SIGPIPE", "SIGALRM", "SIGUSR1")


class EndingKind(StrEnum):
    POWERED_OFF = "powered-off"
    REBOOTED = "rebooted"
    HALTED = "halted"
    FAILED_TO_START = "failed-to-start"  # no guest ever ran
    CRASHED = "crashed"  # the guest or the hypervisor did what neither can go on from
    KILLED = "killed"  # a signal from outside
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Ending:
    kind: EndingKind
    text: str  # a clause for people: "the guest powered off"
    status: int = 0  # as Python's returncode: negative for a signal
    seconds: float = 0.0
    provider: str = ""


# What the statuses mean when a guest ran: xhyve src/xhyve.c:530-542, hyperkit src/hyperkit.c,
# bhyve(8) "EXIT STATUS", vfkit cmd/vfkit/main.go.
_OFF, _REBOOT, _HALT = EndingKind.POWERED_OFF, EndingKind.REBOOTED, EndingKind.HALTED
_FAULT = EndingKind.CRASHED
_STATUSES: dict[str, dict[int, EndingKind]] = {
    "xhyve": {0: _REBOOT, 1: _OFF, 2: _HALT, 3: _FAULT},
    "hyperkit": {0: _OFF, 2: _REBOOT, 3: _FAULT},
    "bhyve": {0: _REBOOT, 1: _OFF, 2: _HALT, 3: _FAULT},
    "vfkit": {0: _OFF},
    "qemu": {0: _OFF},
}
_TEXTS = {
    _OFF: "the guest powered off",
    _REBOOT: "the guest rebooted",
    _HALT: "the guest halted without powering off",
    _FAULT: "the guest's processor gave up in a triple fault",
}


def classify(provider: str, *, status: int, seconds: float, printed: bool, stderr: str) -> Ending:
    """What became of one run of ``provider``.

    ``status`` is as Python's returncode; what a shell or sudo makes of a signal, 128 + n, counts
    as that signal. ``printed``: whether the guest wrote to its console in this run; xhyve's
    status 1 means power-off as well as any error while it starts, and only this tells them apart.
    """
    if 128 < status < 128 + 32:
        status = 128 - status
    said = complaint(stderr)
    if status < 0:
        kind, text = _of_signal(provider, -status, seconds, said, printed=printed)
    else:
        kind, text = _of_status(provider, status, seconds, said, printed=printed)
    return Ending(kind=kind, text=text, status=status, seconds=seconds, provider=provider)


def complaint(stderr: str) -> str:
    """The first line of an error stream that is not chatter, harmless to print; "" without one."""
    lines = clean(stderr[-_STDERR_MAX:]).split("\n")
    found = next((line.strip() for line in lines if not is_chatter(line)), "")
    return found if len(found) <= _SAID_MAX else f"{found[:_SAID_MAX]}…"


def is_chatter(line: str) -> bool:
    """Whether a hypervisor goes on after writing this."""
    return _CHATTER.search(line) is not None


def _of_status(
    provider: str, status: int, seconds: float, said: str, *, printed: bool
) -> tuple[EndingKind, str]:
    kind = _STATUSES.get(provider, {}).get(status)
    ran = printed if said else printed or seconds >= _START_S
    if kind is not None and (ran or kind is EndingKind.HALTED or kind is _FAULT):
        return kind, _TEXTS[kind]
    reason = f": {said}" if said else " and gave no reason"
    if status == 0 and kind is not None:
        return EndingKind.FAILED_TO_START, f"{provider} ended at once without running a guest"
    if kind is None and printed:
        return EndingKind.CRASHED, f"{provider} gave up with status {status}{reason}"
    return EndingKind.FAILED_TO_START, f"{provider} did not start (status {status}){reason}"


def _of_signal(
    provider: str, number: int, seconds: float, said: str, *, printed: bool
) -> tuple[EndingKind, str]:
    try:
        name = signals.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if name == "SIGKILL" and not printed and seconds < _START_S and not said:
        return (
            EndingKind.FAILED_TO_START,
            f"{provider} was killed as it started: macOS does so where it refuses a signature",
        )
    if name in _OUTSIDE:
        return EndingKind.KILLED, f"{provider} was ended by {name}"
    reason = f": {said}" if said else ""
    if not printed and _NOT_LOADED.search(said) and not _VM_EXIT.search(said):
        return EndingKind.FAILED_TO_START, f"{provider} did not start ({name}){reason}"
    return EndingKind.CRASHED, f"{provider} crashed ({name}){reason}"
