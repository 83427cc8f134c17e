"""Which process is it: a pid alone may by now be a stranger's.

On Linux /proc answers in microseconds; elsewhere psutil does (docs/adr/0003).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class ProcessIdentity:
    """A process for good: pid, start time (an opaque word) and program name."""

    __slots__ = ("pid", "program", "started")

    def __init__(self, pid: int, started: str, program: str) -> None:
        self.pid = pid
        self.started = started
        self.program = program

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessIdentity) and (
            (self.pid, self.started, self.program) == (other.pid, other.started, other.program)
        )

    def __hash__(self) -> int:
        return hash((self.pid, self.started, self.program))

    def __repr__(self) -> str:
        return f"ProcessIdentity({self.pid}, {self.started!r}, {self.program!r})"


def identify(pid: int) -> ProcessIdentity | None:
    """Who ``pid`` is now; None when there is no such process, or only its zombie."""
    if pid <= 0:
        return None
    return _identify_proc(pid) if sys.platform == "linux" else _identify_psutil(pid)


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether that very process still runs."""
    return identify(identity.pid) == identity


def arguments(pid: int) -> tuple[str, ...]:
    """The command line of ``pid``; empty when it is gone or hidden from us."""
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                raw = file.read()
        except OSError:
            return ()
        return tuple(os.fsdecode(word) for word in raw.split(b"\0")[:-1])
    import psutil

    try:
        return tuple(psutil.Process(pid).cmdline())
    except psutil.AccessDenied:
        # macOS shows those of root's processes to root alone, and to ps(1), which is set-uid.
        return tuple(_ps("-ww", "-o", "command=", "-p", str(pid)).split())
    except psutil.Error:
        return ()


def command_lines() -> Iterator[tuple[int, tuple[str, ...]]]:
    """The pid and the words of every process on this host; what is hidden from us is left out."""
    if sys.platform == "linux":
        for name in os.listdir("/proc"):
            if name.isdigit() and (words := arguments(int(name))):
                yield int(name), words
        return
    for line in _ps("-axww", "-o", "pid=,command=").splitlines():
        number, *words = line.split()
        yield int(number), tuple(words)


def _ps(*options: str) -> str:
    """What ps(1) prints, words with spaces in them split; "" when it cannot be asked."""
    import subprocess

    try:
        done = subprocess.run(
            ("/bin/ps", *options), stdin=subprocess.DEVNULL, capture_output=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return os.fsdecode(done.stdout)


def read_pid_file(path: Path) -> int | None:
    """The pid in a file some program wrote; None when there is no such file or no number in it."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")[:32].strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _identify_proc(pid: int) -> ProcessIdentity | None:
    # proc(5): pid (comm) state …; comm may hold spaces and brackets, so split at the last one.
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read(8)
    except OSError:
        return None
    head, _, tail = stat.rpartition(b")")
    fields = tail.split()
    if fields[0] in (b"Z", b"X"):
        return None
    program = os.fsdecode(head.partition(b"(")[2])
    return ProcessIdentity(pid, f"{boot}:{int(fields[19])}", program)


def _identify_psutil(pid: int) -> ProcessIdentity | None:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return ProcessIdentity(pid, f"{process.create_time():.2f}", process.name())
    except psutil.Error:
        return None
