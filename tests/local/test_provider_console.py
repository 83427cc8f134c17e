"""A pseudo-terminal on one side, a socket that plays the guest on the other."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from vagrantish.errors import MachineBusy, MachineNotRunning, ProviderError
from vagrantish.events import Cancel, Cancelled, Note, Op
from vagrantish.paths import MachineLayout
from vagrantish.provider.console import attach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.events import Event

SCRIPT = """
import sys
from pathlib import Path
from vagrantish.events import Cancel, Op
from vagrantish.paths import MachineLayout
from vagrantish.provider.console import attach
class Silent:
    def emit(self, event): pass
op = Op(Silent(), Cancel(), "web")
attach(MachineLayout(Path(sys.argv[1])), stdin_fd=0, stdout_fd=1, op=op)
"""


class Recorder:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def emit(self, event: Event, /) -> None:
        if isinstance(event, Note):
            self.texts.append(event.text)


class Guest:
    """The console's end inside the machine."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._listener.settimeout(10)
        self.connection: socket.socket | None = None

    def answer(self) -> socket.socket:
        if self.connection is None:
            self.connection, _ = self._listener.accept()
            self.connection.settimeout(10)
        return self.connection

    def hear(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self.answer().recv(size - len(data))
            if not chunk:
                break
            data += chunk
        return data

    def hang_up(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def close(self) -> None:
        self.hang_up()
        self._listener.close()


class Terminal:
    """A pseudo-terminal; ``user`` is the side a person sits at."""

    def __init__(self) -> None:
        self.user, self.program = pty.openpty()
        self.settings = termios.tcgetattr(self.program)

    @property
    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.program) == self.settings

    def type(self, data: bytes) -> None:
        os.write(self.user, data)

    def show(self, wanted: bytes) -> bytes:
        """What is on the screen, once ``wanted`` is."""
        seen, deadline = b"", time.monotonic() + 10
        while wanted not in seen and time.monotonic() < deadline:
            if select.select([self.user], [], [], 0.1)[0]:
                seen += os.read(self.user, 1 << 16)
        assert wanted in seen, seen
        return seen

    def close(self) -> None:
        os.close(self.user)
        os.close(self.program)


class Attached(threading.Thread):
    """``attach`` in a thread; leaving the block waits for it and raises what it raised."""

    def __init__(self, layout: MachineLayout, stdin_fd: int, stdout_fd: int) -> None:
        super().__init__(daemon=True)
        self.recorder = Recorder()
        self.op = Op(self.recorder, Cancel(), "web")
        self._work = (layout, stdin_fd, stdout_fd)
        self._failure: BaseException | None = None

    def run(self) -> None:
        layout, stdin_fd, stdout_fd = self._work
        try:
            attach(layout, stdin_fd=stdin_fd, stdout_fd=stdout_fd, op=self.op)
        except BaseException as error:  # noqa: BLE001 - raised again where the test waits
            self._failure = error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        self.join(15)
        assert not self.is_alive(), "attach did not end"
        if self._failure is not None:
            raise self._failure


@pytest.fixture
def layout() -> Iterator[MachineLayout]:
    """A machine whose hypervisor is a sleeping Python."""
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as name:
        layout = MachineLayout(Path(name))
        code = "import time; time.sleep(60)"
        with subprocess.Popen(
            [sys.executable, "-c", code, "-pidfile", str(layout.pid_file)]
        ) as hypervisor:
            layout.pid_file.write_text(f"{hypervisor.pid}\n")
            yield layout
            hypervisor.kill()


@pytest.fixture
def guest(layout: MachineLayout) -> Iterator[Guest]:
    guest = Guest(layout.console_socket)
    yield guest
    guest.close()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


def test_keys_reach_the_guest_and_its_bytes_the_screen(
    layout: MachineLayout, guest: Guest, terminal: Terminal
) -> None:
    with Attached(layout, terminal.program, terminal.program) as attached:
        guest.answer().sendall(b"login: \x1b[1m")
        terminal.show(b"login: \x1b[1m")
        # Also what a terminal would otherwise act upon itself.
        terminal.type(b"root\r\x03\x1a\x04")
        assert guest.hear(8) == b"root\r\x03\x1a\x04"
        terminal.type(b"last\x1dnot this")

    assert guest.hear(100) == b"last"
    assert terminal.is_as_before
    assert "Ctrl-]" in attached.recorder.texts[0]
    assert attached.recorder.texts[-1] == "Left the console."


def test_the_terminal_is_raw_only_while_attached(
    layout: MachineLayout, guest: Guest, terminal: Terminal
) -> None:
    with Attached(layout, terminal.program, terminal.program):
        guest.answer().sendall(b"here")
        terminal.show(b"here")
        assert not terminal.is_as_before
        terminal.type(b"\x1d")

    assert terminal.is_as_before


def test_the_end_of_the_guest_ends_it(
    layout: MachineLayout, guest: Guest, terminal: Terminal
) -> None:
    with Attached(layout, terminal.program, terminal.program) as attached:
        guest.answer().sendall(b"Power down.")
        terminal.show(b"Power down.")
        guest.close()

    assert terminal.is_as_before
    assert attached.recorder.texts[-1] == "The machine was powered off."


def test_cancelling_ends_it_and_restores_the_terminal(
    layout: MachineLayout, guest: Guest, terminal: Terminal
) -> None:
    attached = Attached(layout, terminal.program, terminal.program)
    attached.start()
    guest.answer()
    attached.op.cancel.set()

    with pytest.raises(Cancelled):
        attached.finish()

    assert terminal.is_as_before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_restores_the_terminal(
    layout: MachineLayout, guest: Guest, terminal: Terminal, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(layout.directory)],
        stdin=terminal.program,
        stdout=terminal.program,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        guest.answer().sendall(b"here")
        terminal.show(b"here")
        assert not terminal.is_as_before

        child.send_signal(number)
        child.communicate(timeout=10)

    assert child.returncode != 0
    assert terminal.is_as_before


def test_a_guest_that_takes_nothing_does_not_keep_the_user(
    layout: MachineLayout, guest: Guest, terminal: Terminal
) -> None:
    def drain() -> None:
        while not stop.is_set():
            if select.select([terminal.user], [], [], 0.05)[0]:
                os.read(terminal.user, 1 << 16)

    stop = threading.Event()
    reader = threading.Thread(target=drain)
    reader.start()
    with Attached(layout, terminal.program, terminal.program):
        guest.answer()
        for _ in range(2000):  # far more than the socket and our own store take
            terminal.type(b"x" * 1000)
        terminal.type(b"\x1d")
    stop.set()
    reader.join()

    assert terminal.is_as_before


def test_a_second_terminal_is_told_and_the_first_stays(
    layout: MachineLayout, guest: Guest, terminal: Terminal
) -> None:
    with Attached(layout, terminal.program, terminal.program):
        guest.answer().sendall(b"first")
        terminal.show(b"first")

        with pytest.raises(MachineBusy, match="in use by another terminal") as caught:
            attach(layout, stdin_fd=0, stdout_fd=1, op=Op(Recorder(), Cancel(), "web"))

        assert "Ctrl-]" in caught.value.hint
        terminal.type(b"\x1d")


def test_the_console_can_be_joined_again(
    layout: MachineLayout, guest: Guest, terminal: Terminal
) -> None:
    for _ in range(2):
        with Attached(layout, terminal.program, terminal.program):
            guest.answer().sendall(b"hello")
            terminal.show(b"hello")
            terminal.type(b"\x1d")
        guest.hang_up()

    assert terminal.is_as_before


def test_a_pipe_is_sent_whole_and_what_comes_back_is_read_until_it_is_quiet(
    layout: MachineLayout, guest: Guest
) -> None:
    sent = bytes(range(256)) * 4000  # Ctrl-] among them: it means nothing in a pipe
    source, answer = os.pipe(), os.pipe()
    writer = threading.Thread(target=write_all, args=(source[1], sent))
    with Attached(layout, source[0], answer[1]):
        writer.start()
        assert guest.hear(len(sent)) == sent
        time.sleep(0.3)
        guest.answer().sendall(b"late answer")
    writer.join()
    os.close(answer[1])
    received = os.read(answer[0], 100)
    for descriptor in (source[0], answer[0]):
        os.close(descriptor)

    assert received == b"late answer"


def write_all(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def test_a_reader_that_leaves_ends_it(layout: MachineLayout, guest: Guest) -> None:
    source, answer = os.pipe(), os.pipe()
    os.close(answer[0])
    with Attached(layout, source[0], answer[1]):
        guest.answer().sendall(b"nobody reads this")
    for descriptor in (*source, answer[1]):
        os.close(descriptor)


def test_a_machine_that_is_off_has_no_console(layout: MachineLayout) -> None:
    layout.pid_file.unlink()

    with pytest.raises(MachineNotRunning, match="web is not running"):
        attach(layout, stdin_fd=0, stdout_fd=1, op=Op(Recorder(), Cancel(), "web"))


def test_a_missing_console_is_said_so(layout: MachineLayout) -> None:
    with pytest.raises(ProviderError, match="only a log") as caught:
        attach(layout, stdin_fd=0, stdout_fd=1, op=Op(Recorder(), Cancel(), "web"))

    assert "vx logs" in caught.value.hint
