"""Host ports: who holds one, and which is free instead."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vagrantish import proc
from vagrantish.errors import PortTaken, Problem, ProviderError
from vagrantish.provider.running import option_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from vagrantish.model import Forward

# On the command line of an ssh that forwards a machine's ports; before it stands the machine.
SSH_MARK = "-oControlPath=fwd.sock"
_RANGE = 100
_PORT_MAX = 65535
# 80 becomes 8080, 443 becomes 8443: where people look first.
_UNPRIVILEGED_OFFSET = 8000
_ANYWHERE = "0.0.0.0"  # noqa: S104 - compared with, never bound


def clash(forwards: tuple[Forward, ...]) -> int | None:
    """Index of the first forward that wants a port another of the same machine has.

    A port that may be moved gives way to one that may not, ssh's (the first) to any other.
    """
    order = sorted(range(len(forwards)), key=lambda i: (forwards[i].auto, i == 0, i))
    for position, index in enumerate(order):
        if any(overlap(forwards[index], forwards[other]) for other in order[:position]):
            return index
    return None


def bind_error(forward: Forward) -> int:
    """Why the host port cannot be had right now, as an errno; 0 when it can."""
    kind = socket.SOCK_STREAM if forward.proto == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            if forward.proto == "tcp":  # as QEMU does: a port in TIME_WAIT is free
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((forward.host_ip, forward.host))
            if forward.proto == "tcp":
                probe.listen(1)
        except OSError as error:
            return error.errno or errno.EADDRINUSE
    return 0


def replacement(
    forward: Forward, reason: int, *, others: tuple[Forward, ...], tried: Collection[int]
) -> Forward:
    """``forward`` on the next host port that is free, after ``reason`` (an errno) refused its own.

    ``others`` are the machine's other forwards. Raises PortTaken when none of the hundred
    following ports is free.
    """
    start = forward.host + 1
    if is_reserved(reason):
        start = forward.host + _UNPRIVILEGED_OFFSET
    for port in range(start, min(start + _RANGE, _PORT_MAX + 1)):
        candidate = replace(forward, host=port)
        if port in tried or any(overlap(candidate, other) for other in others):
            continue
        if bind_error(candidate) == 0:
            return candidate
    raise PortTaken(
        f"no host port is free for guest port {forward.guest}: "
        f"{forward.host} and the hundred after {start - 1} are taken",
        hint="Choose another `host` in its [[forward]] table, or 0 for any free port.",
    )


def is_reserved(reason: int) -> bool:
    return reason in (errno.EACCES, errno.EPERM)


def is_hopeless(reason: int) -> bool:
    """Whether another port would be refused as well."""
    return reason not in (0, errno.EADDRINUSE, errno.EACCES, errno.EPERM)


def refusal(
    forward: Forward, reason: int, *, machine: str, is_ssh: bool, twin: Forward | None = None
) -> ProviderError:
    """The error for a port that was refused with ``reason`` (an errno) and may not be moved.

    ``twin`` is the forward of the same machine that has it.
    """
    purpose = "ssh" if is_ssh else f"guest port {forward.guest}"
    where = f"{forward.proto} port {forward.host} on {forward.host_ip}"
    fix = "set another `host` in its [[forward]], or let vx choose with `auto = true`"
    if is_ssh:
        fix = "set another `port` under [ssh], or take it out to let vx choose"
    if reason == errno.EADDRNOTAVAIL:
        return ProviderError(
            f"{forward.host_ip} is no address of this host, so {purpose} of {machine} "
            "cannot be reached there",
            hint="Set `host_ip` in its [[forward]] to 127.0.0.1, or to an address `ip addr` shows.",
        )
    if is_hopeless(reason):
        return ProviderError(
            f"{where}, wanted for {purpose} of {machine}, cannot be had: {os.strerror(reason)}",
            hint=f"Check its `host_ip`, or {fix}.",
        )
    if is_reserved(reason):
        return PortTaken(
            f"{where}, wanted for {purpose} of {machine}, is reserved for root",
            hint=f"Use a host port from 1024 up: {fix}.",
        )
    if twin is not None:
        return PortTaken(
            f"{where} is wanted twice by {machine}: for {purpose} and for guest port {twin.guest}",
            hint=f"To change one, {fix}.",
        )
    return PortTaken(
        f"{where}, wanted for {purpose} of {machine}, is held by {holder(forward)}",
        hint=f"Stop that, or {fix}.",
    )


def holder(forward: Forward) -> str:
    """Who holds the port, for people; "another process" when the system does not tell."""
    for pid in _pids_at(forward):
        words = proc.arguments(pid)
        identity = proc.identify(pid)
        if SSH_MARK in words:
            return f"the forwards of machine {words[words.index(SSH_MARK) - 1]} (pid {pid})"
        if (option_of(words, "-pidfile") or "").endswith("/vm.pid"):
            return f"machine {option_of(words, '-name')} (pid {pid})"
        if identity is not None:
            return f"{identity.program} (pid {pid})"
    return "another process"


def overlap(one: Forward, other: Forward) -> bool:
    if one.host == 0 or (one.proto, one.host) != (other.proto, other.host):
        return False
    addresses = {one.host_ip, other.host_ip}
    return len(addresses) == 1 or _ANYWHERE in addresses


def _pids_at(forward: Forward) -> tuple[int, ...]:
    import psutil

    try:
        connections = psutil.net_connections(forward.proto)
    except (psutil.Error, OSError):
        return _own_pids_at(forward)
    return tuple(c.pid for c in connections if c.pid and _is_listener(c.laddr, c.status, forward))


def _own_pids_at(forward: Forward) -> tuple[int, ...]:
    """macOS shows an ordinary user only the connections of their own processes."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            connections = process.net_connections(forward.proto)
        except (psutil.Error, OSError):
            continue
        found += [process.pid for c in connections if _is_listener(c.laddr, c.status, forward)]
    return tuple(found)


def _is_listener(at: Any, status: str, forward: Forward) -> bool:
    """``at`` is psutil's address, a pair of ip and port, or empty."""
    import psutil

    if not at or at.port != forward.host:
        return False
    listens = forward.proto == "udp" or status == psutil.CONN_LISTEN
    places = {at.ip.removeprefix("::ffff:"), forward.host_ip}
    return listens and (len(places) == 1 or bool(places & {_ANYWHERE, "::"}))


def unforwardable(forwards: Iterable[Forward], *, provider: str) -> tuple[Problem, ...]:
    """What ssh cannot forward for a provider that leaves that to it. Pure."""
    return tuple(
        Problem(
            "forward",
            f"udp guest port {forward.guest} cannot be forwarded: under {provider} ports are "
            "forwarded by ssh, which carries tcp alone",
            hint=f"Take that [[forward]] out and use the guest's own address, which {provider} "
            'shows to this host, or set `provider = "qemu"`, which forwards udp',
        )
        for forward in forwards
        if forward.proto == "udp"
    )
