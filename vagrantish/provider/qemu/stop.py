"""Ends a QEMU: by its power button, by asking the guest, by force."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from vagrantish import proc
from vagrantish.errors import ProviderError, VxError
from vagrantish.events import Cancel
from vagrantish.files import host_errors
from vagrantish.provider import running
from vagrantish.provider.base import StopOutcome
from vagrantish.provider.qemu.qmp import Qmp, QmpError
from vagrantish.wait import poll_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.events import Op
    from vagrantish.paths import MachineLayout
    from vagrantish.proc import ProcessIdentity

_LOOK_S = 0.02
_QMP_S = 1.0
_BUTTON_S = 10.0  # a guest that heeds its power button has begun to stop by then
_QUIT_S, _TERM_S, _KILL_S = 2.0, 3.0, 10.0


def stop(
    layout: MachineLayout,
    *,
    grace_s: float,
    ask_guest: Callable[[], object] | None,
    op: Op,
) -> StopOutcome:
    """Power down within ``grace_s``, else by force; cut the power at once when that is 0.

    Cancelled in between, the machine runs on with its files as they were. Raises ProviderError.
    """
    process = running.find(layout)
    if process is None:
        remove_leftovers(layout)
        return StopOutcome.NOT_RUNNING
    outcome = StopOutcome.SHUT_DOWN
    if grace_s <= 0 or not _shut_down(layout, process, grace_s, ask_guest, op):
        outcome = StopOutcome.FORCED
        _cut_power(layout, process, op)
    remove_leftovers(layout)
    return outcome


def kill(process: ProcessIdentity) -> None:
    """End ``process`` with SIGKILL and wait until it is gone. Raises ProviderError."""
    _signal(process, signal.SIGKILL)
    if not _gone(process, _KILL_S, Cancel()):
        raise ProviderError(
            f"QEMU (pid {process.pid}) cannot be ended: the system keeps it, often for a disk "
            "or network drive that does not answer",
            hint="Wait for that, or restart the host; then run the same command again.",
        )


def remove_leftovers(layout: MachineLayout) -> None:
    """What a hypervisor that is gone leaves lying about; its logs stay. Raises HostError."""
    with host_errors(f"clear {layout.directory}"):
        for path in (layout.process, layout.qmp_socket, layout.console_socket, layout.pid_file):
            path.unlink(missing_ok=True)
        for written in (layout.process, layout.provider_log):
            for staged in layout.directory.glob(f".{written.name}.*.tmp"):
                staged.unlink(missing_ok=True)  # a vx was killed before it could rename it


def _shut_down(
    layout: MachineLayout,
    process: ProcessIdentity,
    grace_s: float,
    ask_guest: Callable[[], object] | None,
    op: Op,
) -> bool:
    """Whether the guest powered itself off in time."""
    deadline = time.monotonic() + grace_s
    if _press_button(layout):
        patience = grace_s if ask_guest is None else min(_BUTTON_S, grace_s / 3)
        if _gone(process, patience, op.cancel):
            return True
    if ask_guest is None:
        return _gone(process, deadline - time.monotonic(), op.cancel)
    asking = _Asking(ask_guest)
    is_gone = _gone(process, deadline - time.monotonic(), op.cancel)
    asking.report(op)
    return is_gone


def _press_button(layout: MachineLayout) -> bool:
    """Whether QEMU took it; the guest may still ignore it."""
    try:
        with Qmp(layout.qmp_socket, timeout_s=_QMP_S) as qmp:
            status = qmp.execute("query-status")
            if isinstance(status, dict) and not status.get("running"):
                qmp.execute("cont")  # a paused guest hears nothing
            qmp.execute("system_powerdown")
    except QmpError:
        return False
    return True


def _cut_power(layout: MachineLayout, process: ProcessIdentity, op: Op) -> None:
    """``quit`` writes out what the disks' caches hold; signals are for a QEMU that hangs."""
    try:
        with Qmp(layout.qmp_socket, timeout_s=_QMP_S) as qmp:
            qmp.execute("quit")
    except QmpError:
        pass  # it may hang up before it answers, and otherwise the signals follow
    else:
        if _gone(process, _QUIT_S, op.cancel):
            return
    _signal(process, signal.SIGTERM)
    if not _gone(process, _TERM_S, op.cancel):
        kill(process)


def _gone(process: ProcessIdentity, timeout_s: float, cancel: Cancel) -> bool:
    """Wait for the end of ``process``; it is nobody's child here, so there is nothing to reap."""
    found = poll_until(
        lambda: None if proc.is_alive(process) else True,
        timeout_s=max(0.0, timeout_s),
        interval_s=_LOOK_S,
        cancel=cancel,
    )
    return found is True


def _signal(process: ProcessIdentity, number: signal.Signals) -> None:
    """Signal that very process and no later owner of its pid. Raises ProviderError."""
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
        raise ProviderError(
            f"QEMU (pid {process.pid}) belongs to another user and cannot be ended",
            hint="Run the same command as the user who started the machine.",
        ) from error


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


class _Asking:
    """Asks the guest in a thread of its own: an ssh that hangs must not hold up the rest."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="ask-guest")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._ask()
        except Exception as error:  # noqa: BLE001 - carried to the main thread, raised or told there
            self._failure = error

    def report(self, op: Op) -> None:
        """Tell why the guest could not be asked; a bug in asking is raised as it is."""
        if isinstance(self._failure, VxError):
            op.note(f"The guest could not be asked to power off: {self._failure.message}")
        elif self._failure is not None:
            raise self._failure
