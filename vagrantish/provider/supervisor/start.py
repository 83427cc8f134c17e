"""Starts a machine under a supervisor: what the providers that need one have in common."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import vagrantish
from vagrantish import locks
from vagrantish.errors import MachineBusy, ProviderError
from vagrantish.files import host_errors, make_dir, write_atomic
from vagrantish.provider import child, running
from vagrantish.provider.supervisor import daemon, ended
from vagrantish.provider.supervisor.holders import holders, program_of
from vagrantish.provider.supervisor.job import Job, text_of
from vagrantish.provider.supervisor.stop import end_at_once, remove_leftovers
from vagrantish.wait import poll_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vagrantish.events import Op
    from vagrantish.paths import MachineLayout
    from vagrantish.proc import ProcessIdentity

UP_S = 1.0  # a hypervisor that lives so long, or whose guest said something, has started
_LAUNCH_S = 20.0
_WAIT_S = 40.0
_LOOK_S = 0.02
_SAID_MAX = 64 << 10
_ROOM_MIN = 256 << 10  # with less, a few small files do not fit on every file system


class StartFailed(ProviderError):
    """The hypervisor ended before it ran a guest; ``ended`` is how."""

    def __init__(self, message: str, *, ended: ended.Ended, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.ended = ended


def start(
    job: Job,
    layout: MachineLayout,
    *,
    name: str,
    op: Op,
    prepare: Callable[[], None] = lambda: None,
    own_session: bool = True,
) -> ProcessIdentity:
    """Run ``job`` until its hypervisor is up; ``prepare`` runs just before, with the start locked.

    ``own_session`` False keeps it in the terminal's session, for a sudo that remembers a password
    by that. Raises MachineBusy when this machine or a user of its disks runs already, StartFailed,
    ProviderError, Cancelled; nothing is left running then.
    """
    make_dir(layout.directory, mode=0o700)
    with locks.hold(layout.start_lock, what=f"the start of machine {name}", op=op):
        check_free(job, layout, name=name)
        try:
            prepare()
            _make_room(layout, job)
            _launch(layout, name=name, own_session=own_session, op=op)
            return _wait_until_up(job, layout, name=name, op=op)
        except MachineBusy:
            raise
        except BaseException:
            end_at_once(layout)
            remove_leftovers(layout)
            raise


def check_free(job: Job, layout: MachineLayout, *, name: str) -> None:
    """Raises MachineBusy when it runs, under whatever pid, or a file of its is another's."""
    process = running.find(layout)
    if process is None:
        process = next(iter(holders(job.mark, program_of(job.argv))), None)
    if process is not None:
        raise MachineBusy(
            f"machine {name} is already running (pid {process.pid})",
            hint=f"Run `vx halt {name}` first.",
        )
    for path in job.locks:
        with suppress(FileNotFoundError):  # the hypervisor will say so
            _check_unlocked(path, name)


def environment(provider: str, env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a hypervisor gets of the user's environment: the least, and what is named for it."""
    named = {provider.upper(), "XHYVE"} if provider == "hyperkit" else {provider.upper()}
    kept = {key: text for key, text in env.items() if any(word in key for word in named)}
    return child.environment(env) | kept


def _check_unlocked(path: str, name: str) -> None:
    with host_errors(f"lock {path}"):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MachineBusy(
            f"{path}, which machine {name} writes to, is in use by another machine",
            hint="Halt that one first: two guests on one disk destroy what is on it.",
        ) from None
    except OSError:
        return  # a file system without locks
    finally:
        os.close(descriptor)


def _make_room(layout: MachineLayout, job: Job) -> None:
    """Clear what the last run left, keep its console."""
    with host_errors(f"clear {layout.directory}"):
        remove_leftovers(layout)
        layout.ended.unlink(missing_ok=True)
        if layout.console_log.exists() and layout.console_log.stat().st_size:
            os.replace(layout.console_log, layout.previous_console_log)
        layout.provider_out.unlink(missing_ok=True)
    write_atomic(layout.provider_log, f"$ {shlex.join(job.argv)}\n".encode(), mode=0o600)
    write_atomic(layout.job, text_of(job), mode=0o600)


def _launch(layout: MachineLayout, *, name: str, own_session: bool, op: Op) -> None:
    """Returns once the supervisor has its lock and was noted."""
    package = str(Path(vagrantish.__file__).resolve().parents[1])
    finished = child.run(
        (sys.executable, "-P", "-m", "vagrantish.provider.supervisor", str(layout.job)),
        timeout_s=_LAUNCH_S,
        cancel=op.cancel,
        own_session=own_session,
        extra_env={"PYTHONPATH": package},
    )
    if finished.status == daemon.BUSY:
        raise MachineBusy(
            f"machine {name} is already running, or a disk of its is in use: {finished.output}",
            hint=f"Run `vx halt {name}` first.",
        )
    if finished.status != 0:
        full = _no_room(layout, name)
        if full is not None:
            raise full
        said = finished.output.rpartition("\n")[2] or f"status {finished.status}"
        raise ProviderError(
            f"the supervisor of machine {name} did not come up: {said}",
            hint=f"`{shlex.join(('vx', 'logs', '--provider', name))}` shows what it wrote.",
        )


def _wait_until_up(job: Job, layout: MachineLayout, *, name: str, op: Op) -> ProcessIdentity:
    up_since: float | None = None

    def look() -> ProcessIdentity | None:
        nonlocal up_since
        over = ended.read(layout)
        if over is not None:
            raise _failure(over, layout, name)
        process = running.find_hypervisor(layout)
        if process is None:
            if running.find(layout) is None and ended.read(layout) is None:
                raise _vanished(layout, name)
            return None
        up_since = up_since or time.monotonic()
        said = layout.console_log.exists() and layout.console_log.stat().st_size > 0
        return process if said or time.monotonic() - up_since >= UP_S else None

    process = poll_until(look, timeout_s=_WAIT_S, interval_s=_LOOK_S, cancel=op.cancel)
    if process is None:
        raise ProviderError(
            f"{job.provider} did not come up within {_WAIT_S:g} s for machine {name}",
            hint=f"See {layout.provider_log}.",
        )
    return process


def _vanished(layout: MachineLayout, name: str) -> ProviderError:
    """A supervisor that ended and could not write down why."""
    return _no_room(layout, name) or ProviderError(
        f"the supervisor of machine {name} was killed", hint=f"Run `vx up {name}` again."
    )


def _no_room(layout: MachineLayout, name: str) -> ProviderError | None:
    with suppress(OSError):
        if shutil.disk_usage(layout.directory).free < _ROOM_MIN:
            return ProviderError(
                f"machine {name} did not start: there is no room left in {layout.directory}",
                hint=f"Free some space, then run `vx up {name}` again.",
            )
    return None


def _failure(over: ended.Ended, layout: MachineLayout, name: str) -> StartFailed:
    """What the hypervisor said, and what is known of it."""
    from vagrantish.diagnosis.causes import Place
    from vagrantish.diagnosis.reader import Reader

    reader = Reader()
    for path, place in ((layout.provider_out, Place.STDOUT), (layout.console_log, Place.CONSOLE)):
        with suppress(OSError), open(path, "rb") as file:
            reader.feed(file.read(_SAID_MAX), place)
    reader.feed(over.stderr.encode(), Place.STDERR)
    reader.end(over.ending)
    verdict = reader.verdict()
    message = f"machine {name} did not start: {over.ending.text}"
    if verdict is None or not verdict.message:
        return StartFailed(message, ended=over, hint=f"See {layout.provider_log}.")
    return StartFailed(f"{message}\n{verdict.message}", ended=over, hint=verdict.hint)
