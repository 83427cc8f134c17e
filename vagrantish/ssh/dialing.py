"""From an address to a TCP connection, and how waiting for a guest is watched. No paramiko here."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from typing import TYPE_CHECKING

from vagrantish.errors import SSHError
from vagrantish.wait import poll_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.events import Cancel
    from vagrantish.ssh.target import Target

BOOTING = "If the guest is still booting, `vx up` waits for it; `vx logs` shows how far it is."

_LOOK_S = 0.05
_UNDER_WAY = (errno.EINPROGRESS, errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)


class NotAnswering(SSHError):
    """Nothing that speaks ssh is there, or not yet."""


class AuthRefused(SSHError):
    """The guest does not take the key, or not yet."""


class Incompatible(SSHError):
    """Guest and vx have no algorithm in common; waiting does not change that."""


class Watch:
    """What is looked at while waiting: the user's wish to stop, the time, and whatever else ends it."""

    def __init__(
        self, cancel: Cancel, deadline: float, look: Callable[[], object] | None = None
    ) -> None:
        self.cancel = cancel
        self.deadline = deadline
        self._look = look

    @property
    def left_s(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def wait_for(self, happened: Callable[[float], bool]) -> bool:
        """Whether it happened in time. ``happened`` is given the seconds it may block."""

        def probe() -> bool | None:
            if happened(_LOOK_S):
                return True
            if self._look is not None:
                self._look()
            return None

        answer = poll_until(probe, timeout_s=self.left_s, interval_s=0, cancel=self.cancel)
        return answer is not None


def begin(target: Target) -> socket.socket:
    """A TCP connection under way, not blocking. Raises NotAnswering."""
    try:
        found = socket.getaddrinfo(
            target.address_host, target.address_port, type=socket.SOCK_STREAM
        )
    except OSError as error:
        raise NotAnswering(
            f"the address {target.address_host} of the guest is unknown: {error.strerror}"
        ) from error
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(0)
        # Without it, Nagle's algorithm and delayed acknowledgement cost 45 ms a command.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(address)
        if code and code not in _UNDER_WAY:
            raise refusal(target, code)
        return sock
    except BaseException:
        sock.close()
        raise


def dial(target: Target, watch: Watch) -> socket.socket:
    """A TCP connection. Raises NotAnswering."""
    sock = begin(target)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_WRITE)
            if not watch.wait_for(lambda block_s: bool(selector.select(block_s))):
                raise NotAnswering(f"no answer from {target.where}", hint=BOOTING)
        if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise refusal(target, code)
        return sock
    except BaseException:
        sock.close()
        raise


def refusal(target: Target, code: int) -> NotAnswering:
    """What the errno ``code`` of a connection means."""
    reasons = {
        errno.ECONNREFUSED: "refuses connections: no ssh server listens there",
        errno.EHOSTUNREACH: "cannot be reached: no route to it",
        errno.ENETUNREACH: "cannot be reached: no network leads to it",
        errno.ETIMEDOUT: "does not answer",
    }
    reason = reasons.get(code, f"cannot be reached: {os.strerror(code)}")
    return NotAnswering(f"{target.where} {reason}", hint=BOOTING)
