"""Signals that reach the very process that is meant, and waiting for its end."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from vagrantish import proc
from vagrantish.errors import ProviderError
from vagrantish.events import Cancel
from vagrantish.wait import poll_until

if TYPE_CHECKING:
    from vagrantish.proc import ProcessIdentity

LOOK_S = 0.02
_KILL_S = 10.0
_SUDO_S = 10.0
_KILL = "/bin/kill"  # the one the rule of sudo is for, not the first on PATH


def send(
    process: ProcessIdentity, number: signal.Signals, *, what: str, sudo: bool = False
) -> None:
    """Signal that very process and no later owner of its pid. Raises ProviderError.

    ``what`` names it for people. ``sudo``: root's processes too, where sudo asks for no password.
    """
    try:
        handle = _handle_on(process.pid)
        try:
            # A handle fixes who is meant, so this check cannot be overtaken.
            if not proc.is_alive(process):
                return
            if sys.platform == "linux" and handle is not None:
                signal.pidfd_send_signal(handle, number)
            else:
                os.kill(process.pid, number)
        finally:
            if handle is not None:
                os.close(handle)
    except ProcessLookupError:
        return
    except PermissionError as error:
        if sudo:
            _send_as_root(process, number, what)
            return
        raise ProviderError(
            f"{what} (pid {process.pid}) belongs to another user and cannot be ended",
            hint="Run the same command as the user who started the machine.",
        ) from error


def kill(process: ProcessIdentity, *, what: str, sudo: bool = False) -> None:
    """End ``process`` with SIGKILL and wait until it is gone. Raises ProviderError."""
    send(process, signal.SIGKILL, what=what, sudo=sudo)
    if not gone(process, _KILL_S, Cancel()):
        raise ProviderError(
            f"{what} (pid {process.pid}) cannot be ended: the system keeps it, often for a disk "
            "or network drive that does not answer",
            hint="Wait for that, or restart the host; then run the same command again.",
        )


def gone(process: ProcessIdentity, timeout_s: float, cancel: Cancel) -> bool:
    """Wait for the end of ``process``; it is nobody's child here, so there is nothing to reap."""
    found = poll_until(
        lambda: None if proc.is_alive(process) else True,
        timeout_s=max(0.0, timeout_s),
        interval_s=LOOK_S,
        cancel=cancel,
    )
    return found is True


def as_root(pid: int, number: signal.Signals) -> tuple[str, ...]:
    """The command that signals root's processes, and asks for no password."""
    return ("sudo", "-n", _KILL, f"-{number.value}", str(pid))


def _send_as_root(process: ProcessIdentity, number: signal.Signals, what: str) -> None:
    from vagrantish.provider import child

    # In the terminal's session: sudo remembers a password by that.
    done = child.run(as_root(process.pid, number), timeout_s=_SUDO_S, own_session=False)
    if done.status != 0 and proc.is_alive(process):
        raise ProviderError(
            f"{what} (pid {process.pid}) runs as root, and sudo does not let vx end it: "
            f"{done.output.partition(chr(10))[0] or 'no answer'}",
            hint="Run `sudo -v`, then the same command again.",
        )


def _handle_on(pid: int) -> int | None:
    """A pidfd; None where there are none: macOS, and Linux before 5.3."""
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        return None
