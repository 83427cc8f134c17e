"""Ports of this host, taken by real sockets."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from vagrantish.errors import PortTaken
from vagrantish.model import Forward
from vagrantish.provider.hostports import bind_error, holder, refusal, replacement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def listening(port: int = 0, address: str = "127.0.0.1") -> socket.socket:
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind((address, port))
    taken.listen()
    return taken


@pytest.fixture
def taken() -> Iterator[Forward]:
    with closing(listening()) as listener:
        yield Forward(guest=80, host=listener.getsockname()[1])


@pytest.fixture
def taken_udp() -> Iterator[Forward]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        yield Forward(guest=53, host=receiver.getsockname()[1], proto="udp")


def test_a_taken_port_is_told_from_a_free_one(taken: Forward, taken_udp: Forward) -> None:
    assert bind_error(taken) == errno.EADDRINUSE
    assert bind_error(taken_udp) == errno.EADDRINUSE
    assert bind_error(Forward(guest=80, host=0)) == 0


def test_a_port_somebody_has_left_is_free_again(taken: Forward) -> None:
    with closing(listening()) as listener:
        port = listener.getsockname()[1]
        with closing(socket.create_connection(("127.0.0.1", port))), listener.accept()[0]:
            pass  # the listener's side closes first: the port goes into TIME_WAIT

    assert bind_error(Forward(guest=80, host=port)) == 0


def test_an_address_of_another_host_is_told_from_a_taken_port() -> None:
    forward = Forward(guest=80, host=8080, host_ip="192.0.2.1")

    assert bind_error(forward) == errno.EADDRNOTAVAIL


def test_the_holder_is_named_with_its_pid(taken: Forward, taken_udp: Forward) -> None:
    assert f"(pid {os.getpid()})" in holder(taken)
    assert f"(pid {os.getpid()})" in holder(taken_udp)


def test_one_who_listens_on_every_address_is_a_holder_too() -> None:
    with closing(listening(address="0.0.0.0")) as listener:
        forward = Forward(guest=80, host=listener.getsockname()[1])

        assert f"(pid {os.getpid()})" in holder(forward)


def test_another_machine_is_named_as_one(tmp_path: Path) -> None:
    code = (
        "import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen();"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    words = ["-name", "db", "-pidfile", str(tmp_path / "vm.pid")]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        forward = Forward(guest=80, host=int(child.stdout.readline()))

        text = holder(forward)
        child.communicate()

    assert text == f"machine db (pid {child.pid})"


def test_a_holder_that_cannot_be_seen_is_another_process() -> None:
    assert holder(Forward(guest=80, host=1)) == "another process"


def test_the_refusal_names_the_port_its_use_the_holder_and_the_fix(taken: Forward) -> None:
    error = refusal(taken, errno.EADDRINUSE, machine="web", is_ssh=False)

    assert isinstance(error, PortTaken)
    assert f"tcp port {taken.host} on 127.0.0.1" in error.message
    assert "guest port 80 of web" in error.message
    assert f"(pid {os.getpid()})" in error.message
    assert "auto = true" in error.hint


@pytest.fixture
def row_of_taken() -> Iterator[int]:
    """The first of three taken ports in a row with a free one behind them."""
    for first in range(20_000, 30_000, 7):
        with ExitStack() as stack:
            try:
                for port in range(first, first + 3):
                    stack.enter_context(closing(listening(port)))
                listening(first + 3).close()
            except OSError:
                continue
            yield first
            return
    pytest.fail("no three free ports in a row")


def test_the_next_free_port_is_taken_instead(row_of_taken: int) -> None:
    forward = Forward(guest=80, host=row_of_taken)

    moved = replacement(forward, errno.EADDRINUSE, others=(), tried=[row_of_taken])

    assert moved == Forward(guest=80, host=row_of_taken + 3)


def test_ports_of_the_same_machine_and_those_tried_before_are_passed_over(
    row_of_taken: int,
) -> None:
    forward = Forward(guest=80, host=row_of_taken)
    free = row_of_taken + 3
    others = (Forward(guest=81, host=free),)

    moved = replacement(forward, errno.EADDRINUSE, others=others, tried=[free + 1])

    assert moved.host >= free + 2


def test_a_port_reserved_for_root_moves_to_where_people_look_first() -> None:
    moved = replacement(Forward(guest=80, host=80), errno.EACCES, others=(), tried=[80])

    assert 8080 <= moved.host < 8180


def test_ports_end_at_the_last_one() -> None:
    with pytest.raises(PortTaken, match="no host port is free for guest port 80") as caught:
        replacement(Forward(guest=80, host=65535), errno.EADDRINUSE, others=(), tried=[])

    assert "0 for any free port" in caught.value.hint
