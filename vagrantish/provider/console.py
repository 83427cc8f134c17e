"""Attaches a terminal to a guest's serial console."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import termios
import threading
import time
import tty
from typing import TYPE_CHECKING

from vagrantish.errors import MachineBusy, MachineNotRunning, ProviderError
from vagrantish.events import Cancelled
from vagrantish.files import host_errors
from vagrantish.provider import running
from vagrantish.provider.qemu.qmp import Qmp, QmpError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.events import Op
    from vagrantish.paths import MachineLayout

LEAVE = b"\x1d"  # Ctrl-]
_CHUNK = 1 << 14
_PENDING_MAX = 1 << 16
_LOOK_S = 0.2
_QMP_S = 2.0
_QUIET_S = 1.0


def attach(layout: MachineLayout, *, stdin_fd: int, stdout_fd: int, op: Op) -> None:
    """Join ``stdin_fd`` and ``stdout_fd`` to the console until the user or the guest leaves.

    A terminal is put into raw mode, and back whatever happens; Ctrl-] leaves. Anything else works
    as a pipe: after its end, the console is shown until it was quiet for a second. The guest's
    bytes go to the terminal as they are. Raises MachineNotRunning, MachineBusy when the console
    has another user already, ProviderError, Cancelled.
    """
    if running.find(layout) is None:
        raise MachineNotRunning(f"machine {op.machine} is not running", hint="Run `vx up` first.")
    if not layout.console_socket.exists():
        raise ProviderError(
            f"the console of machine {op.machine} is only a log: its hypervisor takes no input",
            hint="Read it with `vx logs -f`, and log in with `vx ssh`.",
        )
    with _only_user(layout, op), _connected(layout) as guest:
        is_terminal = os.isatty(stdin_fd)
        if is_terminal:
            op.note("Attached to the console. Ctrl-] leaves; press Enter if nothing shows.")
        with _raw(stdin_fd) if is_terminal else contextlib.nullcontext(), _signals(op):
            is_over = _Relay(guest, stdin_fd, stdout_fd).run(op)
        if is_terminal:
            # The guest may have left the cursor anywhere in the line.
            os.write(stdout_fd, b"\r\n")
            op.note("The machine was powered off." if is_over else "Left the console.")


@contextlib.contextmanager
def _only_user(layout: MachineLayout, op: Op) -> Iterator[None]:
    """QEMU takes one client and lets a second hang without a word, so tell that one here."""
    busy = MachineBusy(
        f"the console of machine {op.machine} is in use by another terminal",
        hint="Leave it there with Ctrl-], or read along with `vx logs -f`.",
    )
    with host_errors(f"open {layout.console_lock}"):
        lock = os.open(layout.console_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        if _has_foreign_client(layout):
            raise busy
        yield
    finally:
        os.close(lock)


def _has_foreign_client(layout: MachineLayout) -> bool:
    """Whether some other program is attached. Unknown counts as no: then the user sees silence."""
    try:
        with Qmp(layout.qmp_socket, timeout_s=_QMP_S) as qmp:
            devices = qmp.execute("query-chardev")
    except QmpError:
        return False
    names = (
        device.get("filename", "")
        for device in devices
        if isinstance(device, dict) and device.get("label") == "console"
    )
    return any(not name.startswith("disconnected:") for name in names)


@contextlib.contextmanager
def _connected(layout: MachineLayout) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as guest:
        guest.settimeout(_QMP_S)
        try:
            guest.connect(str(layout.console_socket))
        except OSError as error:
            raise ProviderError(
                f"the console does not answer at {layout.console_socket}: {error}",
                hint="`vx logs` shows what the guest wrote to it.",
            ) from error
        guest.settimeout(0)
        yield guest


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _signals(op: Op) -> Iterator[None]:
    """A SIGTERM or SIGHUP nobody handles would leave the terminal raw: make it a Cancelled."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(number: int, _frame: object) -> None:
        op.cancel.set()
        raise Cancelled(signal.Signals(number).name)

    ours = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in ours:
        signal.signal(number, give_up)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


class _Relay:
    """Copies both ways until one side leaves."""

    def __init__(self, guest: socket.socket, stdin_fd: int, stdout_fd: int) -> None:
        self._guest = guest
        self._stdin_fd = stdin_fd
        self._stdout_fd = stdout_fd
        self._is_terminal = os.isatty(stdin_fd)
        self._is_open = True  # more may be typed
        self._pending = b""  # typed, not yet taken by the guest
        self._last_output = time.monotonic()

    def run(self, op: Op) -> bool:
        """Whether it was the guest that left."""
        while True:
            op.cancel.check()
            sources, sinks = self._interests()
            # Not poll(2): on macOS it does not take terminals.
            readable, writable, _ = select.select(sources, sinks, [], _LOOK_S)
            if self._guest in readable:
                output = _receive(self._guest)
                if output is None:
                    return True
                self._last_output = time.monotonic()
                if not _write(self._stdout_fd, output):
                    return False
            is_leaving = self._stdin_fd in readable and self._take_input()
            if self._guest in writable or is_leaving:
                self._pending = self._pending[_send(self._guest, self._pending) :]
            if is_leaving or self._is_done():
                return False

    def _interests(self) -> tuple[list[socket.socket | int], list[socket.socket]]:
        sources: list[socket.socket | int] = [self._guest]
        # A pipe waits while the guest is slow; at a terminal Ctrl-] must still be heard.
        if self._is_open and (self._is_terminal or len(self._pending) < _PENDING_MAX):
            sources.append(self._stdin_fd)
        return sources, [self._guest] if self._pending else []

    def _take_input(self) -> bool:
        """Whether the user typed Ctrl-]."""
        typed = _read(self._stdin_fd)
        if not typed:
            self._is_open, self._last_output = False, time.monotonic()
        if not self._is_terminal:
            self._pending += typed
            return False
        typed, leave, _ = typed.partition(LEAVE)
        # Nobody types this much: what a stuck guest does not take is dropped.
        self._pending = (self._pending + typed)[:_PENDING_MAX]
        return bool(leave)

    def _is_done(self) -> bool:
        if self._is_open or self._pending:
            return False
        return self._is_terminal or time.monotonic() - self._last_output > _QUIET_S


def _receive(guest: socket.socket) -> bytes | None:
    """What the guest wrote, None when it is gone."""
    try:
        return guest.recv(_CHUNK) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None


def _send(guest: socket.socket, data: bytes) -> int:
    try:
        return guest.send(data)
    except BlockingIOError:
        return 0
    except OSError:
        return len(data)  # it is gone, which the next read tells


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return b""
    except OSError:
        return b""  # the terminal was closed


def _write(descriptor: int, data: bytes) -> bool:
    """Whether whoever reads is still there."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [], _LOOK_S)
        except OSError:
            return False
    return True
