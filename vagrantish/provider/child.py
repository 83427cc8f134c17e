"""Runs a program to its end with everything about it bounded: time, output, environment."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from vagrantish.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vagrantish.events import Cancel

_OUTPUT_MAX = 16 << 10
_LOOK_S = 0.02
# What a program needs to find its libraries and its place for temporary files; no more of the
# user's environment (tokens, proxies) goes to a process that outlives the command.
_ENVIRONMENT = (
    "PATH", "HOME", "VX_HOME", "TMPDIR",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Finished:
    status: int | None  # None: killed when its time was up; negative: ended by that signal
    output: str  # the first of what it wrote to stdout and stderr, harmless to print
    seconds: float


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """What of ``env`` a program gets that may outlive the command."""
    return {name: env[name] for name in _ENVIRONMENT if name in env} | {"LC_ALL": "C"}


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    cancel: Cancel | None = None,
    own_session: bool = True,
    extra_env: Mapping[str, str] = MappingProxyType({}),
    output_max: int = _OUTPUT_MAX,
) -> Finished:
    """Run ``argv`` in a session of its own, from ``/``, with no input; files it makes are private.

    ``own_session`` False gives it a process group alone, so that it may use the terminal's
    session. Returns once the program itself ended, though a child of its may go on. Raises
    HostError when it cannot be run at all, Cancelled; it is killed then.
    """
    began = time.monotonic()
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**environment(os.environ), **extra_env},
            start_new_session=own_session,
            process_group=None if own_session else 0,
            umask=0o077,
        )
    except (OSError, ValueError) as error:
        raise HostError(
            f"cannot run {argv[0]}: {getattr(error, 'strerror', None) or error}",
            hint="Check that it is a program for this computer, and that you may run it.",
        ) from error
    try:
        output, ended = _watch(child, began + timeout_s, cancel, output_max)
        status = child.wait() if ended else None
    finally:
        if child.poll() is None:
            with suppress(PermissionError):  # a sudo, which only root ends; it is left to itself
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        if child.stdout is not None:
            child.stdout.close()
    return Finished(status=status, output=printable(output), seconds=time.monotonic() - began)


def printable(raw: bytes) -> str:
    """Bytes of a stranger as text without control characters, lines kept."""
    text = raw.decode("utf-8", "replace")
    lines = ("".join(c for c in line if c.isprintable()).rstrip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _watch(
    child: subprocess.Popen[bytes], deadline: float, cancel: Cancel | None, output_max: int
) -> tuple[bytes, bool]:
    """What it wrote, and whether it ended before ``deadline``."""
    assert child.stdout is not None
    descriptor = child.stdout.fileno()
    os.set_blocking(descriptor, False)
    poller = select.poll()  # unlike select(2) it takes descriptors past 1023
    poller.register(descriptor, select.POLLIN)
    output, is_open = b"", True
    while time.monotonic() < deadline:
        if cancel is not None:
            cancel.check()
        ended = child.poll() is not None
        if is_open:
            poller.poll(0 if ended else _LOOK_S * 1000)
            output, is_open = _drain(descriptor, output, output_max)
        elif not ended:
            time.sleep(_LOOK_S / 10)  # it closed its output: it is about to end
        if ended:
            return output, True
    return output, False


def _drain(descriptor: int, output: bytes, output_max: int) -> tuple[bytes, bool]:
    """``output`` with what is there to read now, and whether more may come."""
    for _ in range(64):  # a program that never stops writing must not keep us here
        try:
            chunk = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return output, True
        if not chunk:
            return output, False
        output = (output + chunk)[:output_max]
    return output, True
