"""Ends a QEMU: by its power button, by asking the guest, by force."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from vagrantish.files import host_errors
from vagrantish.provider import running, signals
from vagrantish.provider.asking import Asking
from vagrantish.provider.base import StopOutcome
from vagrantish.provider.qemu.qmp import Qmp, QmpError
from vagrantish.provider.signals import gone

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.events import Op
    from vagrantish.paths import MachineLayout
    from vagrantish.proc import ProcessIdentity

_WHAT = "QEMU"
_QMP_S = 1.0
_BUTTON_S = 10.0  # a guest that heeds its power button has begun to stop by then
_QUIT_S, _TERM_S = 2.0, 3.0


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
    signals.kill(process, what=_WHAT)


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
        if gone(process, patience, op.cancel):
            return True
    if ask_guest is None:
        return gone(process, deadline - time.monotonic(), op.cancel)
    asking = Asking(ask_guest)
    is_gone = gone(process, deadline - time.monotonic(), op.cancel)
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
        if gone(process, _QUIT_S, op.cancel):
            return
    signals.send(process, signal.SIGTERM, what=_WHAT)
    if not gone(process, _TERM_S, op.cancel):
        kill(process)
