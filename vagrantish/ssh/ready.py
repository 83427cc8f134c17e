"""Waiting for a guest: until it runs a command over ssh, or until it is clear that it will not."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

from vagrantish.errors import BootError, CommandTimeout, HostKeyChanged, SSHError
from vagrantish.ssh.console import Console, Stage
from vagrantish.ssh.dialing import AuthRefused, Incompatible, NotAnswering, Watch, begin, refusal
from vagrantish.units import format_duration
from vagrantish.wait import poll_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vagrantish.events import Op, Step
    from vagrantish.model import Address
    from vagrantish.ssh.client import Client
    from vagrantish.ssh.target import Target

_POLL_S = 0.01
_ALIVE_EVERY_S = 0.1
_LINES_SHOWN = 15
_READ_MAX = 1 << 20

# Behind user-mode networking a connection is taken at once, guest or not, and its SYN may then be
# repeated only after seconds: so many short tries, which grow with the wait as a busy guest pays
# for every dropped one. QEMU goes on repeating the SYN of a try that was given up, and all of them
# reach sshd once it listens, which may then refuse the user: so few tries while the console says
# that the guest is not that far.
_GREETING_S = 0.25
_GREETING_EARLY_S = 3.0
_GREETING_SHARE = 0.08
_AGAIN_S = 0.05
_AGAIN_REFUSED_S = (0.2, 0.4, 0.8, 1.0)  # after a refused login: the user may not exist yet
_LOGIN_MIN_S = 5.0

_STAGES = tuple(Stage)
_NETWORK = _STAGES.index(Stage.NETWORK)


def wait_ready(
    find_address: Callable[[], Address | None],
    make_target: Callable[[Address], Target],
    *,
    console_log: Path,
    alive: Callable[[], bool],
    timeout_s: float,
    stall_s: float,
    started_at: float,
    op: Op,
    console_from: int = 0,
) -> Client:
    """A connection over which ``true`` has run.

    ``started_at`` is when the hypervisor was started, by ``time.monotonic``. ``console_from`` is
    where in the console's log this boot begins: after a reboot, what the last one said is there
    too. Ends early with BootError when the guest's kernel panics or its start-up gives up, when
    the hypervisor ends (``alive``), and when neither console nor ssh got any further for
    ``stall_s``; with HostKeyChanged when something else answers. Raises SSHError, MachineError,
    Cancelled.
    """
    # Takes as long as the guest needs for its firmware.
    threading.Thread(target=_import_client, name="vx-import", daemon=True).start()
    with op.step("boot", "Booting") as step:
        wait = _Wait(find_address, make_target, console_log, alive, step)
        wait.stall_s, wait.started_at = stall_s, started_at
        wait.offset = console_from
        wait.deadline = time.monotonic() + timeout_s
        try:
            client = poll_until(
                wait.probe, timeout_s=timeout_s, interval_s=_POLL_S, cancel=op.cancel
            )
        finally:
            wait.drop()
        if client is None:
            raise wait.failure(
                f"the guest did not become ready within {format_duration(timeout_s)}",
                hint="A longer `boot.timeout` helps if it was only slow; `vx logs` shows all it said.",
            )
        step.outcome = f"ready in {format_duration(time.monotonic() - started_at)}"
        return client


def _import_client() -> None:
    import vagrantish.ssh.client  # noqa: F401 - for its side effect: the next import is free


class _Wait:
    """All that is known while waiting. ``probe`` is one look at everything."""

    stall_s: float
    started_at: float
    deadline: float

    def __init__(
        self,
        find_address: Callable[[], Address | None],
        make_target: Callable[[Address], Target],
        console_log: Path,
        alive: Callable[[], bool],
        step: Step,
    ) -> None:
        self.offset = 0
        self._find_address = find_address
        self._make_target = make_target
        self._console_log = console_log
        self._alive = alive
        self._step = step
        self._console = Console()
        self._stage = self._console.stage
        now = time.monotonic()
        self._moved_at = now
        self._looked_alive_at = now
        self._sock: socket.socket | None = None
        self._target: Target | None = None
        self._tried_at = 0.0
        self._try_at = 0.0
        self._hinted = False
        self._has_network = False  # as far as the console tells
        self._refusals = 0
        self._furthest = 0
        self._last_error = "nothing answered yet"

    # --- the guest's console and process -----------------------------------------------------

    def look(self) -> None:
        """Raises BootError when it is clear that the guest will not come up."""
        now = time.monotonic()
        if self._read_console():
            self._moved_at = now
        if self._console.stage is not self._stage:
            self._stage = self._console.stage
            self._step.progress(_STAGES.index(self._stage), len(_STAGES) - 1, self._stage.value)
        if self._console.failure is not None:
            raise self.failure(self._console.failure.message, hint=self._console.failure.hint)
        if now - self._looked_alive_at >= _ALIVE_EVERY_S:
            self._looked_alive_at = now
            if not self._alive():
                self._read_console()
                raise self._ended()
        if now - self._moved_at > self.stall_s:
            raise self.failure(
                f"the guest has not got any further for {format_duration(self.stall_s)}",
                hint="`vx logs` shows all it said. A guest that is slow and silent needs a longer "
                "`boot.stall`, or console=ttyS0 in `boot.cmdline`.",
            )

    def _read_console(self) -> bool:
        """Whether there was something new."""
        try:
            with self._console_log.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self.offset:
                    self.offset = 0  # somebody emptied it
                file.seek(self.offset)
                data = file.read(_READ_MAX)
        except FileNotFoundError:
            return False
        self.offset += len(data)
        if data:
            self._console.feed(data)
        return bool(data)

    def _ended(self) -> BootError:
        if self._console.failure is not None:
            return self.failure(self._console.failure.message, hint=self._console.failure.hint)
        return self.failure(
            "the machine stopped by itself while it booted",
            hint="`vx logs` shows what the guest said, `vx logs --provider` what the hypervisor did.",
        )

    def failure(self, message: str, *, hint: str) -> BootError:
        stage = self._console.stage
        reached = f"it came as far as: {stage.value}"
        if stage is Stage.STARTED:
            reached = "its console stayed empty"
        ssh = "" if self._console.failure is not None else f"; over ssh: {self._last_error}"
        return BootError(
            f"{message} ({reached}{ssh})",
            hint=hint,
            stage=stage.value,
            console=self._console.last_lines(_LINES_SHOWN),
        )

    # --- ssh ---------------------------------------------------------------------------------

    def probe(self) -> Client | None:
        """Look, and take the next step towards a connection; the connection once there is one."""
        self.look()
        now = time.monotonic()
        if self._console.ready and not self._hinted:
            # sshd listens from now on: a try that began before may still wait for its next SYN.
            self._hinted = self._has_network = True
            self.drop()
            self._try_at = now
        if not self._has_network and _STAGES.index(self._stage) >= _NETWORK:
            self._has_network = True
            self.drop()
            self._try_at = now
        if self._sock is None:
            if now >= self._try_at:
                self._dial(now)
            return None
        greeting = self._greeting(self._sock)
        if greeting:
            sock, self._sock = self._sock, None
            return self._log_in(sock)
        patience_s = max(self._greeting_s(), _GREETING_SHARE * (now - self.started_at))
        if greeting is not None or now - self._tried_at > patience_s:
            self.drop()
            self._try_at = now + (_AGAIN_S if greeting is not None else 0)
        return None

    def drop(self) -> None:
        """Give up the try under way."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _dial(self, now: float) -> None:
        address = self._find_address()
        if address is None:
            self._last_error = "the guest has no address yet"
            self._try_at = now + _ALIVE_EVERY_S
            return
        self._advance(1)
        self._target = self._make_target(address)
        self._tried_at = now
        try:
            self._sock = begin(self._target)
        except NotAnswering as error:
            self._last_error = error.message
            self._try_at = now + _ALIVE_EVERY_S

    def _greeting_s(self) -> float:
        """How long a try may take at least."""
        is_silent = self._stage is Stage.STARTED
        return _GREETING_S if self._has_network or is_silent else _GREETING_EARLY_S

    def _greeting(self, sock: socket.socket) -> bytes | None:
        """The first bytes of the server, left in place; empty when it hung up, None while nothing."""
        assert self._target is not None
        try:
            data = sock.recv(255, socket.MSG_PEEK)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ENOTCONN):
                return None
            self._last_error = refusal(self._target, error.errno or errno.EIO).message
            return b""
        if not data:
            self._last_error = "the guest's port is closed"
        return data

    def _log_in(self, sock: socket.socket) -> Client | None:
        from vagrantish.ssh.client import connect_over

        assert self._target is not None
        self._advance(2)
        cancel, now = self._step.op.cancel, time.monotonic()
        limit_s = max(self._target.connect_timeout_s, _LOGIN_MIN_S)
        watch = Watch(cancel, min(self.deadline, now + limit_s), self.look)
        try:
            client = connect_over(sock, self._target, watch)
        except (HostKeyChanged, Incompatible):
            raise
        except AuthRefused as error:
            self._advance(3)
            self._last_error = error.message
            self._try_at = time.monotonic() + _AGAIN_REFUSED_S[min(self._refusals, 3)]
            self._refusals += 1
            return None
        except NotAnswering as error:
            self._last_error = error.message
            self._try_at = time.monotonic() + _AGAIN_S
            return None
        return self._run_true(client, limit_s)

    def _run_true(self, client: Client, limit_s: float) -> Client | None:
        self._advance(4)
        try:
            result = client.exec("true", timeout_s=limit_s, group=False, op=self._step.op)
            if result.exit_status == 0:
                return client
            self._last_error = (
                f"`true` ended with {result.exit_status}: is the user's shell usable?"
            )
        except CommandTimeout:
            self._last_error = f"`true` did not end within {limit_s:g} s"
        except SSHError as error:
            self._last_error = error.message
        except BaseException:
            client.close()
            raise
        client.close()
        self._try_at = time.monotonic() + _AGAIN_REFUSED_S[-1]
        return None

    def _advance(self, point: int) -> None:
        """Getting further than ever before counts as a sign of life."""
        if point > self._furthest:
            self._furthest = point
            self._moved_at = time.monotonic()
