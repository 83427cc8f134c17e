"""Turns into a process that outlives the command, once the machine's locks are held."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from vagrantish.paths import MachineLayout

FAILED = 1
BUSY = 75  # another supervisor runs: sysexits.h's EX_TEMPFAIL
_READY = b"+"


class Busy(Exception):
    """Something that is to be locked is, by somebody else."""


def lock_all(layout: MachineLayout, files: tuple[str, ...]) -> tuple[int, ...]:
    """Descriptors that hold the machine and its ``files``. Raises Busy, OSError.

    What a hypervisor does not find it says itself, so a file that is missing is none of ours.
    """
    held: list[int] = []
    for path in (str(layout.supervisor_lock), *files):
        flags = os.O_RDWR | os.O_CREAT if not held else os.O_RDONLY
        try:
            descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            if not held:
                raise
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{path} is locked by another process") from None
        except OSError:
            os.close(descriptor)  # a file system without locks
            if not held:
                raise
            continue
        held.append(descriptor)
    return tuple(held)


def fork_away() -> int:
    """Go on in a child that leads no session; its parent ends when ``report`` is called there.

    The parent's status is 0 then, and the child's own when that ends before.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        return writer
    os.close(writer)
    if os.read(reader, 1) == _READY:
        os._exit(0)
    _, status = os.waitpid(child, 0)
    os._exit(max(FAILED, os.waitstatus_to_exitcode(status)))


def report(writer: int, said: int) -> None:
    """Let the parent end; from here on what goes wrong is written to ``said``."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.close(nothing)
    os.write(writer, _READY)
    os.close(writer)
    os.setpgid(0, 0)


def give_up(status: int, text: str) -> NoReturn:
    os.write(2, text.encode("utf-8", "replace") + b"\n")
    os._exit(status)
