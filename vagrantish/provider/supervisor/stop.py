"""Ends a supervised machine: by asking the guest, by its power button, by force."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from vagrantish.errors import ProviderError, VxError
from vagrantish.events import Cancel
from vagrantish.files import host_errors, sweep_staged
from vagrantish.provider import child, running, signals
from vagrantish.provider.asking import Asking
from vagrantish.provider.base import StopOutcome
from vagrantish.provider.supervisor import job as jobs
from vagrantish.provider.supervisor.holders import holders, program_of
from vagrantish.wait import poll_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.events import Op
    from vagrantish.paths import MachineLayout
    from vagrantish.proc import ProcessIdentity
    from vagrantish.provider.supervisor.job import Job

_ASK_SHARE = 0.5  # of the grace: what a guest that was asked has before its button is pressed
_SUPERVISOR_S = 3.0  # to write down how the machine ended, and to run what follows that


def stop(
    layout: MachineLayout,
    *,
    grace_s: float,
    ask_guest: Callable[[], object] | None,
    op: Op,
) -> StopOutcome:
    """Power down within ``grace_s``, else by force; cut the power at once when that is 0.

    The guest is asked first: one without a handler for its power button ignores that, and before
    its kernel runs the button kills the hypervisor (xhyve src/pm.c:260-290). Cancelled in between,
    the machine runs on. Raises ProviderError.
    """
    if running.find(layout) is None and not _strays(_job_of(layout)):
        _tidy(layout)
        return StopOutcome.NOT_RUNNING
    outcome = StopOutcome.SHUT_DOWN
    if grace_s <= 0 or not _shut_down(layout, grace_s, ask_guest, op):
        outcome = StopOutcome.FORCED
    end_at_once(layout)
    _tidy(layout)
    return outcome


def end_at_once(layout: MachineLayout) -> None:
    """Nothing of the machine runs afterwards. Raises ProviderError."""
    job = _job_of(layout)
    what, by_sudo = _what(job), _by_sudo(job)
    supervisor = running.find_supervisor(layout)
    if supervisor is not None:
        signals.send(supervisor, signal.SIGINT, what=what)
        if not signals.gone(supervisor, _SUPERVISOR_S, Cancel()):
            if by_sudo:
                # Where sudo lets neither of us, the machine keeps its supervisor.
                _kill_hypervisor(layout, job)
            # Before the other, so that it starts nothing again.
            signals.kill(supervisor, what=f"the supervisor of {what}")
    _kill_hypervisor(layout, job)
    for stray in _strays(job):
        signals.kill(stray, what=what, sudo=by_sudo)


def _kill_hypervisor(layout: MachineLayout, job: Job | None) -> None:
    hypervisor = running.find_hypervisor(layout)
    if hypervisor is not None:
        signals.kill(hypervisor, what=_what(job), sudo=_by_sudo(job))


def remove_leftovers(layout: MachineLayout) -> None:
    """What a machine that is over leaves lying about; its logs stay. Raises HostError."""
    job = _job_of(layout)
    with host_errors(f"clear {layout.directory}"):
        for path in (layout.process, layout.console_socket, layout.pid_file):
            path.unlink(missing_ok=True)
        for name in job.remove if job is not None else ():
            with suppress(FileNotFoundError):
                os.unlink(name)
    sweep_staged(layout.process, layout.pid_file, layout.ended, layout.provider_log, layout.job)


def _tidy(layout: MachineLayout) -> None:
    """Also what a supervisor that was killed could not do any more."""
    job = _job_of(layout)
    was_cut_short = layout.process.exists() and not layout.ended.exists()
    if job is not None and was_cut_short:
        for hook in job.after:
            with suppress(VxError):
                child.run(hook.argv, timeout_s=hook.timeout_s)
    remove_leftovers(layout)


def _shut_down(
    layout: MachineLayout, grace_s: float, ask_guest: Callable[[], object] | None, op: Op
) -> bool:
    """Whether the guest powered itself off in time."""
    deadline = time.monotonic() + grace_s
    if ask_guest is not None:
        asking = Asking(ask_guest)
        if _is_over(layout, grace_s * _ASK_SHARE, op.cancel, asking=asking):
            return True
        asking.report(op)
    press_button(layout)
    return _is_over(layout, deadline - time.monotonic(), op.cancel)


def privilege_of(layout: MachineLayout) -> str:
    """How the machine's hypervisor became root; "" where it did not."""
    job = _job_of(layout)
    return job.privilege if job is not None else ""


def press_button(layout: MachineLayout) -> None:
    """The guest may ignore it. Raises ProviderError."""
    job = _job_of(layout)
    supervisor, hypervisor = running.find_supervisor(layout), running.find_hypervisor(layout)
    needs_supervisor = hypervisor is None or (job is not None and job.button is not None)
    if supervisor is not None and needs_supervisor:
        signals.send(supervisor, signal.SIGTERM, what=_what(job))
    elif hypervisor is not None:
        try:
            signals.send(hypervisor, signal.SIGTERM, what=_what(job), sudo=_by_sudo(job))
        except ProviderError:
            # Either sudo may know a password that the other has forgotten.
            if supervisor is None:
                raise
            signals.send(supervisor, signal.SIGTERM, what=_what(job))


def _is_over(
    layout: MachineLayout, timeout_s: float, cancel: Cancel, *, asking: Asking | None = None
) -> bool:
    """Whether all of it ends within that time, or while ``asking`` may still help."""
    over = poll_until(
        lambda: _state(layout, asking),
        timeout_s=max(0.0, timeout_s),
        interval_s=signals.LOOK_S,
        cancel=cancel,
    )
    return over is True


def _state(layout: MachineLayout, asking: Asking | None) -> bool | None:
    if running.find(layout) is None:
        return True
    return False if asking is not None and asking.has_failed() else None


def _strays(job: Job | None) -> list[ProcessIdentity]:
    return holders(job.mark, program_of(job.argv)) if job is not None else []


def _job_of(layout: MachineLayout) -> Job | None:
    try:
        return jobs.read(layout.job)
    except (OSError, jobs.BadJob):
        return None


def _what(job: Job | None) -> str:
    return job.provider if job is not None else "the hypervisor"


def _by_sudo(job: Job | None) -> bool:
    return job is not None and job.privilege.startswith("sudo")
