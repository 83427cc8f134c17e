"""Where the bytes of a serial port go and come from."""

from __future__ import annotations

import fcntl
import os
import select
import termios
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fakes.hyve.model import Flavour

if TYPE_CHECKING:
    from tests.fakes.hyve.process import Process

RING_BYTES = 65536
_PATIENCE_MS = 20


@dataclass
class Backend:
    """Both ends None: the UART exists, and what is written to it is thrown away."""

    fd: int | None = None
    ring: int | None = None
    _ring_at: int = 0
    _stuck: bool = False
    _held: list[int] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        """What does not fit is dropped, as by writes of one byte that nobody repeats."""
        if self.fd is None:
            return
        self._write_ring(data)
        while data:
            try:
                data = data[os.write(self.fd, data) :]
                self._stuck = False
            except BlockingIOError:
                # A guest is slower than this copy of it: a reader that lives gets its chance.
                if self._stuck or not _writable(self.fd):
                    self._stuck = True
                    return
            except OSError:
                return

    def _write_ring(self, data: bytes) -> None:
        if self.ring is None:
            return
        for byte in range(0, len(data), RING_BYTES):
            part = data[byte : byte + RING_BYTES]
            first = part[: RING_BYTES - self._ring_at]
            os.pwrite(self.ring, first, self._ring_at)
            os.pwrite(self.ring, part[len(first) :], 0)
            self._ring_at = (self._ring_at + len(part)) % RING_BYTES


def _writable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(_PATIENCE_MS))


class Uarts:
    """Opens backends; knows that stdio can be had once."""

    def __init__(self, process: Process, flavour: Flavour) -> None:
        self._process = process
        self._flavour = flavour
        self._stdio_taken = False

    def open(self, backend: str | None, device: str) -> Backend | None:
        """None: it cannot be had. xhyve src/uart_emul.c:613-682."""
        if backend is None:
            return Backend()
        if self._flavour is Flavour.HYPERKIT:
            return self._open_hyperkit(backend.split(","), device)
        opened = Backend()
        return self._raw(opened) if self._open_one(opened, backend, device) else None

    def as_named(self, backend: str | None) -> str | None:
        """A backend as a message shows it: hyperkit has cut its text at the first comma."""
        if self._flavour is Flavour.HYPERKIT and backend is not None:
            return backend.partition(",")[0]
        return backend

    def _open_hyperkit(self, words: list[str], device: str) -> Backend | None:
        """Once a word opened a terminal, a later one that fails costs the console, not the start
        (hyperkit src/lib/uart_emul.c, uart_set_backend)."""
        opened, usable = Backend(), False
        for word in words:
            if word.startswith("log="):
                good = self._open_ring(opened, word.removeprefix("log="))
            elif word == "asl":
                good = usable = True
            else:
                good = self._open_one(opened, word, device)
                usable = usable or good
            if not good:
                return Backend() if usable else None
        return self._raw(opened) if usable else None

    def _open_one(self, opened: Backend, word: str, device: str) -> bool:
        hyperkit = self._flavour is Flavour.HYPERKIT
        if word == "stdio" and not self._stdio_taken:
            self._stdio_taken = True
            return self._open_stdio(opened)
        if word == "autopty" or (hyperkit and word.startswith("autopty=")):
            return self._open_pty(opened, word.partition("=")[2] if "=" in word else None, device)
        null = hyperkit and word == "null"
        try:
            fd = os.open("/dev/null" if null else word, os.O_RDWR | os.O_NONBLOCK)
        except (OSError, ValueError):
            return False
        opened.fd = fd
        return null or (fd > 0 and os.isatty(fd))

    def _open_stdio(self, opened: Backend) -> bool:
        try:
            fcntl.fcntl(0, fcntl.F_SETFL, os.O_NONBLOCK)
        except OSError:
            return False
        opened.fd = 0
        return True

    def _open_pty(self, opened: Backend, link: str | None, device: str) -> bool:
        if self._flavour is Flavour.HYPERKIT:
            self._process.print_out(f"linkname {link if link is not None else '(null)'}\n")
        # The other end stays open here: reading is then never an error, whoever comes and goes.
        master, slave = os.openpty()
        os.set_blocking(master, False)
        name = os.ttyname(slave)
        self._process.print_out(f"{device} connected to {name}\n")
        if link is not None and not self._write_link(link, name):
            return False
        opened.fd = master
        opened._held.append(slave)
        return True

    def _write_link(self, link: str, name: str) -> bool:
        """A regular file with the pty's name in it, no newline."""
        doing = "unlinking autopty file"
        try:
            if os.path.lexists(link):
                os.unlink(link)
            doing = "creating autopty file"
            fd = os.open(link, os.O_CREAT | os.O_WRONLY, 0o644)
        except OSError as error:
            self._process.print_err(f"{doing}: {error.strerror}\n")
            return False
        os.write(fd, os.fsencode(name))
        os.close(fd)
        return True

    def _open_ring(self, opened: Backend, path: str) -> bool:
        try:
            opened.ring = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o644)
        except OSError as error:
            self._process.print_err(f"open console-ring: {error.strerror}\n")
            return False
        os.ftruncate(opened.ring, RING_BYTES)
        return True

    def _raw(self, opened: Backend) -> Backend:
        """No echo, no lines, no signals; undone at exit, and only for stdin."""
        fd = opened.fd
        if fd is None:
            return opened
        try:
            before = termios.tcgetattr(fd)
            termios.tcsetattr(fd, termios.TCSANOW, _made_raw(before))
        except termios.error:  # a file, a pipe, /dev/null
            return opened
        if fd == 0:
            self._process.at_exit(lambda: termios.tcsetattr(0, termios.TCSANOW, before))
        return opened


def _made_raw(mode: list[int | list[bytes | int]]) -> list[int | list[bytes | int]]:
    """cfmakeraw(3), and CLOCAL."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, chars = mode
    assert isinstance(iflag, int)
    assert isinstance(oflag, int)
    assert isinstance(cflag, int)
    assert isinstance(lflag, int)
    assert isinstance(chars, list)
    iflag &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
        | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
    )  # fmt: skip
    oflag &= ~termios.OPOST
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag = (cflag & ~(termios.CSIZE | termios.PARENB)) | termios.CS8 | termios.CLOCAL
    chars = list(chars)
    chars[termios.VMIN], chars[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, chars]
