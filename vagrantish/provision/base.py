"""What provisioning is given and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import BinaryIO

    from vagrantish.events import Op
    from vagrantish.model import Digest, ExecResult, Step


class Remote(Protocol):
    """A guest that runs commands; the ssh client is one."""

    def exec(
        self,
        command: str,
        *,
        stdin: bytes | BinaryIO | Iterator[bytes] | None = None,
        timeout_s: float | None = None,
        on_stdout: Callable[[bytes], object] | None = None,
        on_stderr: Callable[[bytes], object] | None = None,
        group: bool = True,
        op: Op,
    ) -> ExecResult:
        """Run a command of /bin/sh; any exit status is an answer.

        Raises CommandTimeout, with all that the command started ended; SSHError; Cancelled.
        """


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What steps need of the rest of vx."""

    fetch: Callable[[str, Digest], bytes]  # a script from a URL, checked
    render: Callable[[str, Mapping[str, Any]], str]  # a template with names
    reboot: Callable[[], Remote]  # reboots the guest; the way into it afterwards
    context: Mapping[str, Any]  # the names that templates may use


class Reason(StrEnum):
    """Why a step is due."""

    NEW = "new"
    CHANGED = "changed"
    FAILED_BEFORE = "failed before"
    ALWAYS = "runs always"
    NAMED = "named"  # run = "never", and asked for by name
    FORCED = "forced"


class Status(StrEnum):
    OK = "ok"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    step: Step
    reason: Reason
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class StepOutcome:
    name: str
    status: Status
    reason: Reason
    seconds: float
