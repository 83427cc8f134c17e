"""The ports of a machine whose provider cannot forward: ssh does, as long as the machine runs."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import vagrantish
from vagrantish.errors import HostError, ProviderError, SSHError
from vagrantish.events import Cancel
from vagrantish.files import host_errors, write_atomic
from vagrantish.lifecycle import freeports
from vagrantish.model import Forward
from vagrantish.provider import child, hostports, running, signals
from vagrantish.ssh import tunnel
from vagrantish.ssh.program import find_ssh
from vagrantish.wait import poll_until

if TYPE_CHECKING:
    from typing import Any

    from vagrantish.events import Op
    from vagrantish.paths import MachineLayout
    from vagrantish.proc import ProcessIdentity
    from vagrantish.ssh.target import Target

_LAUNCH_S = 15.0
_ASK_S = 3.0
_END_S = 4.0
_AGAIN_S = 8.0  # a keeper tries every five seconds at least
_LOOK_S = 0.05
_ATTEMPTS = 20
# What OpenSSH says where another program was faster (channels.c, channel_setup_fwd_listener_tcpip).
_TAKEN = "cannot listen to port"
# … and where sshd refuses a connection (channel_input_open_failure).
_FORBIDDEN = b"administratively prohibited"
_NOBODYS = 1
_REACH_S = 1.0
_SAID_MAX = 4 << 10


def open_forwards(
    target: Target,
    layout: MachineLayout,
    forwards: tuple[Forward, ...],
    process: ProcessIdentity,
    *,
    provider: str,
    anew: bool = False,
    op: Op,
) -> tuple[Forward, ...]:
    """Have ``forwards`` open while ``process`` or its supervisor lives: as they came out.

    Safe to repeat.
    ``anew`` for a guest that just booted: a connection from before leads nowhere, even where ssh
    has not noticed. What is open is noted for ``running.forwards``. Raises PortTaken,
    ProviderError, SSHError, HostError, Cancelled; then none is open.
    """
    refused = hostports.unforwardable(forwards, provider=provider)
    if refused:
        raise ProviderError("\n".join(problem.message for problem in refused), hint=refused[0].hint)
    # Of a guest that reboots only the supervisor stays; of a killed supervisor the guest does.
    supervisor = running.find_supervisor(layout) or process
    processes = tuple(dict.fromkeys((supervisor, running.find_hypervisor(layout) or process)))
    before = tunnel.read_job(layout)
    wanted = _rows(forwards)
    again = before is not None and before.wanted == wanted and supervisor in before.processes
    if before is not None and again:
        found = _forwards_in(before.forwards)
        is_right = before.argv == _argv(target, found, op)
        if is_right and not anew and _is_or_comes_open(layout, op):
            running.note_forwards(layout, found)
            return found
    else:
        found = ()
    close_forwards(layout, op=op)
    if not forwards:
        running.note_forwards(layout, ())
        return ()
    first = tuple(map(_as_before, forwards, found)) if len(found) == len(forwards) else forwards
    try:
        opened, reasons = _open(target, layout, first, wanted, processes, op)
        running.note_forwards(layout, opened)
    except BaseException:
        close_forwards(layout, op=replace(op, cancel=Cancel()))
        running.note_forwards(layout, ())
        raise
    _tell_moved(first, opened, reasons, op)
    if not (anew and again):
        _warn_of_sshd(layout, opened[0], op)
    return opened


def asked(layout: MachineLayout) -> tuple[Forward, ...]:
    """What ``open_forwards`` was last asked for; none where nothing is to be open."""
    job = tunnel.read_job(layout)
    return _forwards_in(job.wanted) if job is not None else ()


def check(forwards: tuple[Forward, ...], *, machine: str) -> None:
    """Before a machine starts, what is sure to keep ``forwards`` from being opened.

    Raises PortTaken, ProviderError, HostError.
    """
    if forwards:
        find_ssh()
        freeports.settle(forwards, {}, machine)


def close_forwards(layout: MachineLayout, *, op: Op) -> None:
    """End what keeps them open, also what of it a killed process left. Safe to repeat.

    Raises ProviderError where it belongs to another user.
    """
    state = tunnel.read_state(layout)
    if state.keeper is not None:
        what = f"the forwards of machine {op.machine}"
        signals.send(state.keeper, signal.SIGTERM, what=what)
        if not signals.gone(state.keeper, _END_S, Cancel()):
            signals.kill(state.keeper, what=what)
    state = tunnel.read_state(layout)
    if layout.tunnel_socket.exists():
        with suppress(HostError):
            child.run(tunnel.exit_argv(find_ssh(), layout.tunnel_socket), timeout_s=_ASK_S)
    if state.ssh is not None and not signals.gone(state.ssh, _ASK_S, Cancel()):
        signals.kill(state.ssh, what=f"the ssh of machine {op.machine}")
    with host_errors(f"clear {layout.directory}"):
        for path in (layout.tunnel_job, layout.tunnel_state, layout.tunnel_socket):
            path.unlink(missing_ok=True)


def are_open(layout: MachineLayout) -> bool:
    return tunnel.is_open(layout)


def _is_or_comes_open(layout: MachineLayout, op: Op) -> bool:
    """A keeper that just lost its guest is given time to get it back."""

    def look() -> bool | None:
        if tunnel.is_open(layout):
            return True
        return False if tunnel.read_state(layout).keeper is None else None

    return bool(poll_until(look, timeout_s=_AGAIN_S, interval_s=_LOOK_S, cancel=op.cancel))


def _open(
    target: Target,
    layout: MachineLayout,
    forwards: tuple[Forward, ...],
    wanted: tuple[dict[str, Any], ...],
    processes: tuple[ProcessIdentity, ...],
    op: Op,
) -> tuple[tuple[Forward, ...], dict[int, str]]:
    """The forwards on ports they could have, and why which ones were moved."""
    reasons: dict[int, str] = {}
    picked = forwards
    for _ in range(_ATTEMPTS):
        op.cancel.check()
        picked = freeports.settle(picked, reasons, op.machine)
        job = tunnel.Job(
            argv=_argv(target, picked, op),
            processes=processes,
            wanted=wanted,
            forwards=_rows(picked),
        )
        write_atomic(layout.tunnel_job, job.to_json(), mode=0o600)
        said = _launch(layout, target, op)
        if said == "":
            return picked, reasons
        if _TAKEN not in said:
            raise SSHError(
                f"the ports of machine {op.machine} cannot be forwarded: {said}",
                hint=f"{layout.tunnel_log} has all that ssh said; `vx ssh {op.machine}` uses the "
                "same way into the guest.",
            )
        # Whoever was faster is looked into by the next turn; ports of no wish are picked anew.
        picked = tuple(
            replace(now, host=0) if first.host == 0 else now
            for now, first in zip(picked, forwards, strict=True)
        )
    raise ProviderError(
        f"ssh was refused {_ATTEMPTS} times the ports of machine {op.machine}",
        hint="Set `host = 0` in its [[forward]] tables to take any free port.",
    )


def _launch(layout: MachineLayout, target: Target, op: Op) -> str:
    """Start the keeper; what it said when it could not open the ports, else ""."""
    finished = child.run(
        (sys.executable, "-P", "-m", "vagrantish.ssh.keeper", str(layout.tunnel_job)),
        timeout_s=_LAUNCH_S + target.connect_timeout_s,
        cancel=op.cancel,
        extra_env={"PYTHONPATH": str(Path(vagrantish.__file__).resolve().parents[1])},
    )
    if finished.status == 0:
        return ""
    if finished.status is None:
        return "ssh did not get through to the guest in time"
    return finished.output or f"status {finished.status}"


def _argv(target: Target, forwards: tuple[Forward, ...], op: Op) -> tuple[str, ...]:
    return tunnel.master_argv(find_ssh(), target, forwards, machine=op.machine)


def _tell_moved(
    wanted: tuple[Forward, ...], opened: tuple[Forward, ...], reasons: dict[int, str], op: Op
) -> None:
    for index, reason in sorted(reasons.items()):
        before, after = wanted[index], opened[index]
        if before.host:
            op.note(
                f"Host port {before.host} {reason}: "
                f"guest port {after.guest} is at {after.host_ip}:{after.host} ({after.proto})"
            )


def _warn_of_sshd(layout: MachineLayout, forward: Forward, op: Op) -> None:
    """ssh opens its ports whether or not the guest's sshd will connect them to anything."""
    # Nobody listens at the first port, so it answers at once; PermitOpen may allow the other.
    if all(_is_forbidden(layout, port) for port in (_NOBODYS, forward.guest)):
        op.warn(
            "The guest's sshd forbids forwarding, so the host's ports lead nowhere: set "
            "`AllowTcpForwarding local` in its /etc/ssh/sshd_config, then "
            f"`vx reload {op.machine}`"
        )


def _is_forbidden(layout: MachineLayout, port: int) -> bool:
    try:
        start = layout.tunnel_log.stat().st_size
        argv = tunnel.reach_argv(find_ssh(), layout.tunnel_socket, port)
        child.run(argv, timeout_s=_REACH_S)
        with layout.tunnel_log.open("rb") as log:
            log.seek(start)
            return _FORBIDDEN in log.read(_SAID_MAX)
    except (OSError, HostError):
        return False


def _as_before(forward: Forward, found: Forward) -> Forward:
    """Where it was moved to in this run it stays, if it may."""
    is_free = forward.auto or forward.host == 0
    return replace(forward, host=found.host, auto=True) if is_free else forward


def _rows(forwards: tuple[Forward, ...]) -> tuple[dict[str, Any], ...]:
    return tuple(map(asdict, forwards))


def _forwards_in(rows: tuple[dict[str, Any], ...]) -> tuple[Forward, ...]:
    """Empty where they are none of ours."""
    try:
        return tuple(
            Forward(
                guest=int(row["guest"]),
                host=int(row["host"]),
                host_ip=str(row["host_ip"]),
                proto=str(row["proto"]),
                auto=row["auto"] is True,
            )
            for row in rows
        )
    except (KeyError, TypeError, ValueError):
        return ()
