"""What a supervisor is told: one file, private to the user."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA = 1
_JOB_MAX = 1 << 20


class ConsoleKind(StrEnum):
    PTY = "pty"  # the supervisor's: it writes the console's log and serves its socket
    # The same without a pty, which a sudo with use_pty would take for the user's terminal.
    SOCKET = "socket"
    FILE = "file"  # the hypervisor writes the log itself
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A command beside the hypervisor; what it says goes to the provider's log."""

    argv: tuple[str, ...]
    must: bool = True  # whether the machine cannot go on when it fails
    stdin: str = ""  # at most a few KiB: it is written before anybody reads
    timeout_s: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Job:
    provider: str  # as ``diagnosis.endings.classify`` knows it
    argv: tuple[str, ...]  # the hypervisor's, whatever makes it root included
    mark: str  # stands on the command line of this machine's hypervisor and of no other
    env: Mapping[str, str] = field(default_factory=dict)  # the hypervisor's, whole
    console: ConsoleKind = ConsoleKind.PTY
    console_on_stdout: bool = False  # the pty is its stdout too, as bhyve wants it
    privilege: str = ""  # as in HostFacts
    locks: tuple[str, ...] = ()  # files nobody else may use meanwhile: locked with flock(2)
    before: tuple[Hook, ...] = ()  # run before each start, the one after a guest's reboot too
    after: tuple[Hook, ...] = ()  # run once, after the end
    remove: tuple[str, ...] = ()  # files that go before each start and after the end
    button: Hook | None = None  # presses the power button; None: SIGTERM does
    facts: Mapping[str, Any] = field(default_factory=dict)  # for process.json: mac, hostname, …


class BadJob(ValueError):
    """The file is not one of ours."""


def text_of(job: Job) -> bytes:
    return json.dumps({"schema": SCHEMA, **asdict(job)}, indent=1).encode() + b"\n"


def read(path: Path) -> Job:
    """Raises OSError, BadJob."""
    with open(path, "rb") as file:
        raw = file.read(_JOB_MAX)
    try:
        told = json.loads(raw)
        if told.pop("schema") != SCHEMA:
            raise BadJob(f"{path} is of another version of vx")
        button = told.pop("button")
        return Job(
            argv=tuple(told.pop("argv")),
            console=ConsoleKind(told.pop("console")),
            locks=tuple(told.pop("locks")),
            remove=tuple(told.pop("remove")),
            before=tuple(_hook(entry) for entry in told.pop("before")),
            after=tuple(_hook(entry) for entry in told.pop("after")),
            button=None if button is None else _hook(button),
            **told,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadJob(f"{path} is no job: {error}") from error


def _hook(entry: dict[str, Any]) -> Hook:
    return Hook(argv=tuple(entry.pop("argv")), **entry)


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` in place of ``path``, whole; it need not outlive a power cut. Raises OSError."""
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
