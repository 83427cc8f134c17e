"""What a provisioner needs of the guest, and what becomes of a step."""

from __future__ import annotations

from dataclasses import dataclass, field
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
        op: Op,
    ) -> ExecResult:
        """Run ``command`` in the guest's /bin/sh; any exit status is an answer, -1 is a signal.

        Raises CommandTimeout after ``timeout_s`` with all that it started ended, SSHError,
        Cancelled.
        """


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """A step that is due, and why."""

    step: Step
    reason: str  # "new", "changed", "always", "forced", "failed before"
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class StepOutcome:
    name: str
    status: str  # "done"; a failed step raises
    seconds: float
    attempts: int


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What steps need from elsewhere in vx; lifecycle provides it."""

    fetch: Callable[[str, Digest], bytes]  # a script by URL. Raises FetchError, DigestMismatch
    render: Callable[[str, Mapping[str, Any]], str]  # a file's template. Raises ConfigError
    reboot: Callable[[], Remote]  # reboots the guest, proves it, answers the new way in
    context: Mapping[str, Any] = field(default_factory=dict)  # names templates may use
