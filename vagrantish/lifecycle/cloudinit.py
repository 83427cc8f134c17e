"""Waiting until cloud-init has done what a first boot asks of it, and telling what went wrong."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from vagrantish.errors import BootError, CommandTimeout, ConfigError, Problem, SSHError
from vagrantish.files import host_errors
from vagrantish.formats import userdata
from vagrantish.formats.guesttext import printable
from vagrantish.lifecycle.cloudinit_status import Status, status_of, users_share
from vagrantish.resources import templates_dir
from vagrantish.units import format_duration

if TYPE_CHECKING:
    from vagrantish.events import Op, Step
    from vagrantish.model import CloudInitConfig
    from vagrantish.ssh.client import Client

_LINES_SHOWN = 15
_LOG_S = 20.0
_LOG_COMMAND = (
    f"f=/var/log/cloud-init-output.log; sudo -n tail -n {_LINES_SHOWN} $f 2>/dev/null"
    f" || tail -n {_LINES_SHOWN} $f 2>/dev/null"
)
_LOG_HINT = "More is in the guest's /var/log/cloud-init-output.log and /var/log/cloud-init.log."
_STAGES = ("init-local", "init", "modules-config", "modules-final")


class State(StrEnum):
    DONE = "done"
    DEGRADED = "degraded"  # done, with something to warn of
    DISABLED = "disabled"
    MISSING = "missing"


@dataclass(frozen=True)
class Outcome:
    state: State
    errors: tuple[str, ...] = ()  # what was warned of


def read_user_data(config: CloudInitConfig) -> bytes:
    """The user's own data, empty when there are none. Raises HostError, ConfigError."""
    if config.path is None:
        return (config.user_data or "").encode()
    with host_errors(f"read {config.path}"), config.path.open("rb") as file:
        data = file.read(userdata.SIZE_MAX + 1)
    try:
        userdata.kind_of(data)
    except ValueError as error:
        problem = Problem(str(config.path), f"this is no user data for cloud-init: {error}")
        raise ConfigError([problem]) from error
    return data


def wait_done(
    client: Client, *, user_data: bytes, timeout_s: float, root: str = "", op: Op
) -> Outcome:
    """Wait, over one command, until cloud-init has ended its work of this boot.

    Errors are the user's to mend when there are data of their own, and then end the boot; else
    they are warned of, for user, keys and network are right when this is reached. ``root`` is
    where the guest's files are. Raises BootError, SSHError when the connection ends, Cancelled.
    """
    with op.step("cloud-init", "Waiting for cloud-init") as step:
        listener = _Listener(step)
        try:
            result = client.exec(
                _waiting(root), timeout_s=timeout_s, on_stdout=listener.feed, op=op
            )
        except CommandTimeout as error:
            where = f" (it is in its stage {listener.stage})" if listener.stage else ""
            raise BootError(
                f"cloud-init did not finish within {format_duration(timeout_s)}{where}",
                hint=f"A longer `boot.timeout` gives it more time. {_LOG_HINT}",
                stage="cloud-init",
                console=_log(client, op),
            ) from error
        status = status_of(result.stdout)
        outcome = _judge(status, user_data, client, op)
        step.outcome = outcome.state.value
    return outcome


def _waiting(root: str) -> str:
    script = (templates_dir() / "seed" / "cloud-init-wait.sh").read_text(encoding="utf-8")
    return f"set -- {shlex.quote(root)}\n{script}"


def _judge(status: Status, user_data: bytes, client: Client, op: Op) -> Outcome:
    if status.state in ("disabled", "missing"):
        reason = "is switched off" if status.state == "disabled" else "is not installed"
        lost = ": `cloud_init` had no effect" if user_data else ""
        op.warn(f"cloud-init {reason} in this guest{lost}")
        return Outcome(State(status.state))
    theirs = users_share(status, user_data)
    if theirs:
        raise BootError(
            "cloud-init could not do all that `cloud_init` in the Xhyvefile asks for:\n"
            + "\n".join(theirs),
            hint=f"Mend it, then `vx destroy` and `vx up` for another first boot. {_LOG_HINT}",
            stage="cloud-init",
            console=_log(client, op),
        )
    told = (*status.errors, *status.warnings)
    if told:
        op.warn("cloud-init reports, though the guest is ready:\n" + "\n".join(told))
    return Outcome(State.DEGRADED if told else State.DONE, told)


def _log(client: Client, op: Op) -> tuple[str, ...]:
    """The last lines of its output; none where that cannot be read."""
    try:
        result = client.exec(_LOG_COMMAND, timeout_s=_LOG_S, group=False, op=op)
    except SSHError:
        return ()
    return tuple(printable(line) for line in result.stdout.splitlines()[-_LINES_SHOWN:])


class _Listener:
    """Makes progress of the stages the guest names."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._rest = b""
        self.stage = ""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-1024:]
        for line in lines:
            name, _, value = line.decode(errors="replace").partition("=")
            if name == "stage" and value in _STAGES:
                self.stage = value
                self._step.progress(_STAGES.index(value), len(_STAGES), value)
