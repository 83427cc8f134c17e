"""A private sshd, and TCP servers that misbehave."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from vagrantish.events import Cancel, Op
from vagrantish.ssh import keys
from vagrantish.ssh.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vagrantish.events import Event

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
ALIAS = "vx-test"


class Recorder:
    """Keeps the events it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event, /) -> None:
        self.events.append(event)


@dataclass
class Told:
    """An Op, and what was told through it."""

    recorder: Recorder = field(default_factory=Recorder)
    cancel: Cancel = field(default_factory=Cancel)

    @property
    def op(self) -> Op:
        return Op(self.recorder, self.cancel, "web")

    def texts(self, kind: type[Event], attribute: str) -> list[str]:
        return [getattr(e, attribute) for e in self.recorder.events if isinstance(e, kind)]


class Sshd:
    """``/usr/sbin/sshd`` for the user who runs the tests, on a port of loopback."""

    def __init__(self, folder: Path, *, host_key: keys.KeyPair | None = None) -> None:
        assert SSHD, "needs /usr/sbin/sshd (package openssh-server)"
        self.folder = folder
        self.host_key = host_key or keys.generate("host")
        self.user_key = keys.generate("user")
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        _secret(folder / "host", self.host_key.private)
        _secret(folder / "user", self.user_key.private)
        self.authorize()
        self.pin(self.host_key.public)

    def authorize(self, *, take: bool = True) -> None:
        """Take the user's key, or refuse it."""
        (self.folder / "authorized_keys").write_text(self.user_key.public + "\n" if take else "")

    def pin(self, public: str) -> None:
        (self.folder / "known_hosts").write_text(keys.known_hosts_line(ALIAS, public))

    def start(self, *, port: int | None = None, extra: str = "") -> None:
        """Start and wait for its greeting. sshd takes no port 0, so a taken one means trying again."""
        assert SSHD
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for _ in range(20):
            self.port = port or free_port()
            (self.folder / "sshd_config").write_text(
                f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.folder}/host\n"
                f"PidFile {self.folder}/pid\nAuthorizedKeysFile {self.folder}/authorized_keys\n"
                "StrictModes no\nUsePAM no\nPasswordAuthentication no\n"
                "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
                f"Subsystem sftp internal-sftp\nUseDNS no\nMaxStartups 100\n{extra}\n"
            )
            log = (self.folder / "log").open("ab")
            self._process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            log.close()
            if self._greets():
                return
            self.stop()
        raise AssertionError(f"sshd did not start: {(self.folder / 'log').read_text()}")

    def _greets(self) -> bool:
        assert self._process
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
                    if sock.recv(4) == b"SSH-":
                        return True
            except OSError:
                time.sleep(0.01)
        return False

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def sessions(self) -> list[psutil.Process]:
        """The processes of its connections."""
        return psutil.Process(self.pid).children(recursive=True)

    def cut(self) -> None:
        """Kill the connections; what runs in them lives on."""
        self._signal_sessions(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the connections: nothing answers any more, yet nothing is closed."""
        self._signal_sessions(signal.SIGSTOP)

    def _signal_sessions(self, number: signal.Signals) -> None:
        for process in self.sessions():
            try:
                if process.name().startswith("sshd"):
                    process.send_signal(number)
            except psutil.NoSuchProcess:
                continue  # it ended with the one before it

    def stop(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            for process in self.sessions():
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            self._process.kill()
        self._process.wait(10)
        self._process = None

    def target(self, *, user: str | None = None, connect_timeout_s: float = 10) -> Target:
        return Target(
            address_host="127.0.0.1",
            address_port=self.port,
            user=user or getpass.getuser(),
            key_file=self.folder / "user",
            known_hosts=self.folder / "known_hosts",
            alias=ALIAS,
            connect_timeout_s=connect_timeout_s,
        )


@contextmanager
def sshd_in(folder: Path) -> Iterator[Sshd]:
    server = Sshd(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class TcpServer:
    """Takes connections on a loopback port and hands each to ``serve``, in a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket], None], *, port: int = 0) -> None:
        self._serve = serve
        self._taken: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._taken.append(sock)
            threading.Thread(target=self._one, args=(sock,), daemon=True).start()

    def _one(self, sock: socket.socket) -> None:
        try:
            self._serve(sock)
        except OSError:
            return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._taken:
            sock.close()


@contextmanager
def tcp_server(serve: Callable[[socket.socket], None]) -> Iterator[TcpServer]:
    server = TcpServer(serve)
    try:
        yield server
    finally:
        server.close()


def silent(_sock: socket.socket) -> None:
    """What user-mode networking looks like while the guest boots: connected, and nothing comes."""


def greeting(text: bytes) -> Callable[[socket.socket], None]:
    return lambda sock: sock.sendall(text)


def closing(sock: socket.socket) -> None:
    """What it looks like when the guest is up and its port closed."""
    sock.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def _secret(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)
