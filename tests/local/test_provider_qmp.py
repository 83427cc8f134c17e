"""The QMP client against a server that answers well, badly, or not at all."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vagrantish.provider.qemu.qmp import Qmp, QmpError, QmpUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lines = connection.makefile("rb")

    def send(self, raw: bytes) -> None:
        self.connection.sendall(raw)

    def request(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._lines.readline())
        return answer

    def answer(self, **fields: Any) -> None:
        self.send(json.dumps(fields).encode() + b"\n")

    def greet(self) -> None:
        self.send(GREETING)
        self.answer(id=self.request()["id"], **{"return": {}})


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="q", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[[Callable[[Peer], None]], Path]]:
    """Serve one connection with the given behaviour; the path to connect to."""
    listener = socket.socket(socket.AF_UNIX)
    threads = []

    def start(behave: Callable[[Peer], None]) -> Path:
        path = folder / "qmp.sock"
        listener.bind(str(path))
        listener.listen(1)

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                try:
                    behave(Peer(connection))
                except (OSError, ValueError):
                    return  # the client has left, which is what some tests are about

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return path

    yield start
    listener.close()
    for thread in threads:
        thread.join(10)


def test_the_answer_is_the_one_with_the_same_id(serve: Any) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        request = peer.request()
        peer.answer(event="RESET", data={})
        peer.answer(id=999, **{"return": "somebody else's"})
        peer.answer(**{"return": "nobody's"})
        peer.answer(id=request["id"], **{"return": {"asked": request["execute"]}})

    with Qmp(serve(behave), timeout_s=5) as qmp:
        assert qmp.execute("query-status") == {"asked": "query-status"}
        assert [event["event"] for event in qmp.events] == ["RESET"]


def test_arguments_are_passed_on(serve: Any) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        request = peer.request()
        peer.answer(id=request["id"], **{"return": request["arguments"]["command-line"]})

    with Qmp(serve(behave), timeout_s=5) as qmp:
        assert qmp.monitor("info usernet") == "info usernet"


def test_a_refusal_carries_qemus_own_words(serve: Any) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        error = {"class": "CommandNotFound", "desc": "The command nope has not been found"}
        peer.answer(id=peer.request()["id"], error=error)

    with Qmp(serve(behave), timeout_s=5) as qmp, pytest.raises(QmpError, match="not been found"):
        qmp.execute("nope")


def test_an_answer_in_small_pieces_is_put_together(serve: Any) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        line = json.dumps({"id": peer.request()["id"], "return": "whole"}).encode() + b"\n"
        for index in range(len(line)):
            peer.send(line[index : index + 1])

    with Qmp(serve(behave), timeout_s=5) as qmp:
        assert qmp.execute("query-name") == "whole"


def test_many_events_do_not_pile_up(serve: Any) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        request = peer.request()
        peer.send(b'{"event": "RTC_CHANGE"}\n' * 5000)
        peer.answer(id=request["id"], **{"return": {}})

    with Qmp(serve(behave), timeout_s=5) as qmp:
        qmp.execute("query-status")

        assert len(qmp.events) == 100


@pytest.mark.parametrize(
    "greeting",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"{}\n",
        b"[]\n",
        b'"QMP"\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_what_is_not_qemu_is_refused(serve: Any, greeting: bytes) -> None:
    with pytest.raises(QmpUnreachable, match="not QEMU"):
        Qmp(serve(lambda peer: peer.send(greeting)), timeout_s=5)


def test_a_line_without_end_is_given_up(serve: Any) -> None:
    def behave(peer: Peer) -> None:
        for _ in range(64):
            peer.send(b"x" * (1 << 16))

    with pytest.raises(QmpUnreachable, match="line without an end"):
        Qmp(serve(behave), timeout_s=20)


def test_a_silent_socket_ends_in_time(serve: Any) -> None:
    over = threading.Event()
    path = serve(lambda _peer: over.wait(10))
    began = time.monotonic()

    with pytest.raises(QmpUnreachable, match="in time"):
        Qmp(path, timeout_s=0.2)

    assert time.monotonic() - began < 2
    over.set()


def test_a_trickle_of_events_does_not_put_off_the_end(serve: Any) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        peer.request()
        for _ in range(100):
            peer.send(b'{"event": "X"}\n')
            time.sleep(0.05)

    with Qmp(serve(behave), timeout_s=0.3) as qmp:
        began = time.monotonic()
        with pytest.raises(QmpUnreachable, match="in time"):
            qmp.execute("query-status")

        assert time.monotonic() - began < 2


def test_hanging_up_ends_the_wait(serve: Any) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        peer.request()

    with Qmp(serve(behave), timeout_s=30) as qmp, pytest.raises(QmpUnreachable, match="hung up"):
        qmp.execute("query-status")


def test_nobody_listening_is_said_so(folder: Path) -> None:
    with pytest.raises(QmpUnreachable, match="does not answer"):
        Qmp(folder / "none.sock", timeout_s=1)


def test_a_path_too_long_for_a_socket_is_said_so() -> None:
    with pytest.raises(QmpUnreachable, match="too long"):
        Qmp(Path("/" + "a" * 200), timeout_s=1)
