"""Every failure a user can act on.

    VxError 1
    ├── UsageError 2           the command line
    ├── ConfigError 3          the Xhyvefile; carries every Problem
    ├── BoxError 4             boxes, artifacts, digests
    ├── ProviderError 5        the hypervisor or the host
    ├── MachineError 6         a machine's record, files or state
    ├── BootError 7            a boot or an ssh connection
    └── ProvisionError 8       a provisioning step

Leaves are named for the fact and live here only when more than one package raises or
catches them. ``code`` is stable: scripts match it in JSON output.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar


class VxError(Exception):
    """A failure the user can act on; raise it ``from`` whatever caused it.

    ``message`` says what is wrong with which thing; ``hint`` is a command or an edit that fixes it.
    """

    code: ClassVar[str] = "vx-error"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(VxError):
    code = "usage"
    exit_status = 2


class Problem:
    """One thing wrong in a settings file: ``where`` is ``Xhyvefile:12`` or a layer's name."""

    __slots__ = ("hint", "message", "where")

    def __init__(self, where: str, message: str, hint: str = "") -> None:
        self.where = where
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        tail = f" ({self.hint})" if self.hint else ""
        return f"{self.where}: {self.message}{tail}"

    def __repr__(self) -> str:
        return f"Problem({str(self)!r})"


class ConfigError(VxError):
    """All that is wrong with the settings, one line a problem."""

    code = "config"
    exit_status = 3

    def __init__(self, problems: Sequence[Problem], *, hint: str = "") -> None:
        super().__init__("\n".join(str(problem) for problem in problems), hint=hint)
        self.problems = tuple(problems)


class NoXhyvefile(VxError):
    code = "no-xhyvefile"
    exit_status = 3


class RenderError(VxError):
    """A template cannot be read, names what is not there, or wants too much."""

    code = "template"
    exit_status = 3


class BoxError(VxError):
    code = "box"
    exit_status = 4


class BoxNotFound(BoxError):
    code = "box-not-found"


class DigestMismatch(BoxError):
    """Bytes differ from what was promised for them."""

    code = "digest-mismatch"

    def __init__(self, name: str, *, expected: str, actual: str, hint: str = "") -> None:
        super().__init__(
            f"{name} is not the promised file: expected {expected}, got {actual}", hint=hint
        )
        self.expected = expected
        self.actual = actual


class FetchError(BoxError):
    """A URL gave nothing usable."""

    code = "fetch"


class ProviderError(VxError):
    code = "provider"
    exit_status = 5


class PortTaken(ProviderError):
    code = "port-taken"


class HostError(ProviderError):
    """The host cannot do what is needed: disk full, no permission, a program missing."""

    code = "host"


class MachineError(VxError):
    code = "machine"
    exit_status = 6


class MachineNotFound(MachineError):
    code = "machine-not-found"


class MachineNotRunning(MachineError):
    code = "machine-not-running"


class MachineBusy(MachineError):
    code = "machine-busy"


class BootError(VxError):
    """A guest did not become ready.

    ``stage`` is how far it came, ``cause`` the stable name of what is wrong ("" for unknown),
    ``console`` the lines that show it, or the last there were.
    """

    code = "boot"
    exit_status = 7

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        stage: str = "",
        cause: str = "",
        console: Sequence[str] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.stage = stage
        self.cause = cause
        self.console = tuple(console)


class SSHError(VxError):
    code = "ssh"
    exit_status = 7


class HostKeyChanged(SSHError):
    """``stage`` is how far the guest had come by its console, where it was booting."""

    code = "host-key-changed"
    cause = "host-key"
    stage = ""


class CommandTimeout(SSHError):
    """A command in the guest took too long and was ended; ``running`` is what ran just before."""

    code = "command-timeout"

    def __init__(self, message: str, *, hint: str = "", running: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.running = tuple(running)


class TransferError(VxError):
    """A file could not be copied, for reasons of the file or of its place."""

    code = "transfer"


class ProvisionError(VxError):
    code = "provision"
    exit_status = 8
