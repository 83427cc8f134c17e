"""Runs a command beside the hypervisor to its end."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from vagrantish.provider.supervisor.spawn import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CUT = -signal.SIGKILL


def run_aside(
    argv: tuple[str, ...],
    env: Mapping[str, str],
    *,
    stdin: bytes = b"",
    output: int,
    timeout_s: float,
    pause: Callable[[], bool],
) -> str:
    """Why it failed, "" when it did not; killed when its time is up or ``pause`` says so.

    ``output`` is a descriptor; ``pause`` waits a moment, and tells whether to give up.
    """
    name = os.path.basename(argv[0])
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        with suppress(OSError):
            os.write(writer, stdin)
        os.close(writer)
        child = spawn(argv, env, streams=(reader, output, output))
    except OSError as error:
        return f"cannot run {argv[0]}: {error.strerror}"
    finally:
        os.close(reader)
    until = time.monotonic() + timeout_s
    while True:
        pid, raw = os.waitpid(child, os.WNOHANG)
        if pid:
            status = os.waitstatus_to_exitcode(raw)
            return f"{name} ended with status {status}" if status else ""
        is_late = time.monotonic() > until
        if pause() or is_late:
            with suppress(PermissionError):  # a sudo, which only root ends; it is left to itself
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            return (
                f"{name} did not end within {timeout_s:g} s" if is_late else f"{name} was cut off"
            )
