"""Starts the hypervisor as a child with nothing of ours but what it is given."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from vagrantish.provider.supervisor.job import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_REASON_MAX = 256


def spawn(
    argv: tuple[str, ...],
    env: Mapping[str, str],
    *,
    streams: tuple[int, int, int],
    kept: tuple[int, ...] = (),
    pid_file: Path | None = None,
    ignored: tuple[signal.Signals, ...] = (),
) -> int:
    """The pid of ``argv``, which has begun by then; in the session, with ``streams`` as 0, 1 and 2.

    It leads no session, so that no terminal it opens becomes its own. ``kept`` are descriptors it
    holds too. ``pid_file`` is there before the program begins. Raises OSError when it cannot.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(argv, env, streams, kept, pid_file, ignored, writer)
    os.close(writer)
    try:
        reason = os.read(reader, _REASON_MAX)
    finally:
        os.close(reader)
    if reason:
        os.waitpid(pid, 0)
        number = int(reason)
        raise OSError(number, os.strerror(number), argv[0])
    return pid


def _become(
    argv: tuple[str, ...],
    env: Mapping[str, str],
    streams: tuple[int, int, int],
    kept: tuple[int, ...],
    pid_file: Path | None,
    ignored: tuple[signal.Signals, ...],
    reasons: int,
) -> NoReturn:
    try:
        os.setpgid(0, 0)
        if pid_file is not None:
            replace_file(pid_file, f"{os.getpid()}\n".encode())
        # Through numbers above 2 first: a stream may lie where another one goes.
        copies = [os.dup(descriptor) for descriptor in streams]
        for number, copy in enumerate(copies):
            os.dup2(copy, number)
        for descriptor in kept:
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - takes no keywords
        _reset_signals(ignored)
        os.execvpe(argv[0], argv, env)  # noqa: S606 - an argument list
    except OSError as error:
        with suppress(OSError):
            os.write(reasons, str(error.errno or 5).encode())
    finally:
        os._exit(127)


def _reset_signals(ignored: tuple[signal.Signals, ...]) -> None:
    """As a shell would leave them; Python ignores two, and we handle some."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number in ignored:
            signal.signal(number, signal.SIG_IGN)
        elif signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
