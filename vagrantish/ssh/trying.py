"""Towards a connection that runs a command, one short step at a time."""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING

from vagrantish.diagnosis.stages import Stage
from vagrantish.errors import CommandTimeout, HostKeyChanged, SSHError
from vagrantish.ssh.dialing import AuthRefused, Incompatible, NotAnswering, Watch, begin, refusal
from vagrantish.ssh.peers import Peers

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.events import Op
    from vagrantish.model import Address, Candidates
    from vagrantish.ssh.client import Client
    from vagrantish.ssh.peers import Peer
    from vagrantish.ssh.target import Target
    from vagrantish.ssh.watching import Guest

# Behind user-mode networking a connection is taken at once, guest or not, and its SYN may then be
# repeated only after seconds: so many short tries, which grow with the wait as a busy guest pays
# for every dropped one. QEMU goes on repeating the SYN of a try that was given up, and all of them
# reach sshd once it listens, which may then refuse the user: so few tries while the console says
# that the guest is not that far.
_GREETING_S = 0.25
_GREETING_EARLY_S = 3.0
_GREETING_SHARE = 0.08
_GREETING_SEVERAL_S = 1.0  # a dead address keeps the others waiting
_AGAIN_S = 0.05
_AGAIN_DEAD_S = 0.1
_AGAIN_REFUSED_S = (0.2, 0.4, 0.8, 1.0)  # after a refused login: the user may not exist yet
_LOGIN_MIN_S = 5.0


class Tries:
    """The one try under way, and what became of those before."""

    def __init__(
        self,
        find_addresses: Callable[[], Candidates],
        make_target: Callable[[Address], Target],
        guest: Guest,
        *,
        deadline: float,
        op: Op,
    ) -> None:
        self.peers = Peers()
        self._find_addresses = find_addresses
        self._make_target = make_target
        self._guest = guest
        self._deadline = deadline
        self._op = op
        self._sock: socket.socket | None = None
        self._peer: Peer | None = None
        self._target: Target | None = None
        self._tried_at = self._try_at = 0.0
        self._hinted = False
        self._has_network = False  # as far as the console tells
        self._furthest = 0

    def step(self) -> Client | None:
        """The connection once there is one. Raises HostKeyChanged, SSHError."""
        now = time.monotonic()
        self._heed_console(now)
        if self._sock is None:
            if now >= self._try_at:
                self._dial(now)
        else:
            greeting = self._greeting(self._sock)
            if greeting:
                sock, self._sock = self._sock, None
                return self._log_in(sock)
            if greeting is not None or now - self._tried_at > self._patience_s(now):
                self.drop()
                self._try_at = now + (_AGAIN_S if greeting is not None else 0)
        return None

    def drop(self) -> None:
        """Give up the try under way."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _heed_console(self, now: float) -> None:
        """A try that began before the guest had network may still wait for its next SYN."""
        ready = self._guest.reader.ready and not self._hinted
        if ready or (not self._has_network and self._guest.has(Stage.NETWORK)):
            self._hinted = self._hinted or ready
            self._has_network = True
            self.drop()
            self._try_at = now

    def _dial(self, now: float) -> None:
        self.peers.update(self._find_addresses())
        self._peer = peer = self.peers.next()
        self._tell()
        if peer is None:
            self._try_at = now + _AGAIN_DEAD_S
            return
        self._advance(1)
        self._target = self._make_target(peer.address)
        self._tried_at = now
        try:
            self._sock = begin(self._target)
        except NotAnswering as error:
            self._said(error.message)
            self._try_at = now + _AGAIN_DEAD_S

    def _patience_s(self, now: float) -> float:
        """How long a try may take."""
        is_silent = self._guest.stage is Stage.PROGRAM
        least_s = _GREETING_S if self._has_network or is_silent else _GREETING_EARLY_S
        patience_s = max(least_s, _GREETING_SHARE * (now - self._guest.started_at))
        return min(patience_s, _GREETING_SEVERAL_S) if self.peers.are_several else patience_s

    def _greeting(self, sock: socket.socket) -> bytes | None:
        """The first bytes of the server, left in place; empty when it hung up, None while nothing."""
        assert self._target is not None
        try:
            data = sock.recv(255, socket.MSG_PEEK)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ENOTCONN):
                return None
            self._said(refusal(self._target, error.errno or errno.EIO).message)
            return b""
        if not data:
            self._said("the guest's port is closed")
        return data

    def _log_in(self, sock: socket.socket) -> Client | None:
        from vagrantish.ssh.client import connect_over

        peer, target = self._peer, self._target
        assert peer is not None
        assert target is not None
        self._advance(2)
        now = time.monotonic()
        limit_s = max(target.connect_timeout_s, _LOGIN_MIN_S)
        watch = Watch(self._op.cancel, min(self._deadline, now + limit_s), self._guest.look)
        try:
            client = connect_over(sock, target, watch)
        except HostKeyChanged as error:
            if self.peers.certain:
                raise
            self._pass_over(peer, error)
            return None
        except Incompatible as error:
            if self.peers.certain:
                raise
            self._failed(error.message, _AGAIN_REFUSED_S[-1])
            return None
        except AuthRefused as error:
            self._advance(3)
            peer.greeted, peer.foreign = True, None
            peer.refused_since = peer.refused_since or now
            self._failed(error.message, _AGAIN_REFUSED_S[min(peer.refusals, 3)])
            peer.refusals += 1
            return None
        except NotAnswering as error:
            self._failed(error.message, _AGAIN_S)
            return None
        return self._run_true(client, limit_s)

    def _pass_over(self, peer: Peer, error: HostKeyChanged) -> None:
        """Another machine answers there, as far as one look tells: the lease may be an old one."""
        now = time.monotonic()
        peer.greeted = True
        peer.foreign_since = peer.foreign_since if peer.foreign is not None else now
        peer.foreign = error
        self._failed(
            "another machine answers there, with another host key",
            _AGAIN_S if self.peers.are_several else _AGAIN_REFUSED_S[-1],
        )

    def _run_true(self, client: Client, limit_s: float) -> Client | None:
        self._advance(4)
        try:
            result = client.exec("true", timeout_s=limit_s, group=False, op=self._op)
            if result.exit_status == 0:
                return client
            said = f"`true` ended with {result.exit_status}: is the user's shell usable?"
        except CommandTimeout:
            said = f"`true` did not end within {limit_s:g} s"
        except SSHError as error:
            said = error.message
        except BaseException:
            client.close()
            raise
        client.close()
        self._failed(said, _AGAIN_REFUSED_S[-1])
        return None

    def _failed(self, said: str, again_s: float) -> None:
        self._said(said)
        self._try_at = time.monotonic() + again_s

    def _said(self, said: str) -> None:
        if self._peer is not None:
            self._peer.said = said
        self._tell()

    def _tell(self) -> None:
        self._guest.over_ssh = self.peers.told()

    def _advance(self, point: int) -> None:
        """Getting further than ever before counts as a sign of life."""
        if point > self._furthest:
            self._furthest = point
            self._guest.moved()
