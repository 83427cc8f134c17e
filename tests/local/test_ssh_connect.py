"""Logging in: what must be refused is refused, and what is wrong is said."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.sshd import (
    Sshd,
    Told,
    closing,
    free_port,
    greeting,
    silent,
    sshd_in,
    tcp_server,
)
from vagrantish.errors import HostKeyChanged, MachineError, SSHError
from vagrantish.events import Cancelled
from vagrantish.ssh import keys
from vagrantish.ssh.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.ssh.target import Target


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd_in(tmp_path / "sshd") as sshd:
        yield sshd


@pytest.fixture
def told() -> Told:
    return Told()


def at_port(server: Sshd, port: int, *, timeout_s: float = 0.5) -> Target:
    target = server.target(connect_timeout_s=timeout_s)
    target.address_port = port
    return target


def test_a_command_runs_after_logging_in(server: Sshd, told: Told) -> None:
    with connect(server.target(), op=told.op) as client:
        result = client.exec("echo out; echo err >&2; exit 3", op=told.op)

    assert (result.stdout, result.stderr, result.exit_status) == (b"out\n", b"err\n", 3)


def test_another_host_key_is_refused_with_both_fingerprints(server: Sshd, told: Told) -> None:
    other = keys.generate("somebody else")
    server.pin(other.public)

    with pytest.raises(HostKeyChanged, match=r"expected SHA256:.*got SHA256:") as caught:
        connect(server.target(), op=told.op)

    assert "vx destroy" in caught.value.hint


def test_the_machines_key_is_not_even_shown_to_an_impostor(server: Sshd, told: Told) -> None:
    server.pin(keys.generate("somebody else").public)

    with pytest.raises(HostKeyChanged):
        connect(server.target(), op=told.op)

    log = (server.folder / "log").read_text()
    assert "Accepted" not in log
    assert "Failed" not in log


def test_a_host_key_of_another_kind_is_refused(tmp_path: Path, told: Told) -> None:
    import subprocess

    server = Sshd(tmp_path / "sshd")
    (server.folder / "host").unlink()
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", server.folder / "host"], check=True
    )
    server.start()
    try:
        with pytest.raises(HostKeyChanged, match="none of that kind"):
            connect(server.target(), op=told.op)
    finally:
        server.stop()


def test_without_a_pinned_key_nothing_is_sent(server: Sshd, told: Told) -> None:
    (server.folder / "known_hosts").write_text("other ssh-ed25519 AAAA\nvx-test ssh-ed25519 %%\n")

    with pytest.raises(MachineError, match="no host key is pinned"):
        connect(server.target(), op=told.op)


def test_a_refused_key_names_the_user(server: Sshd, told: Told) -> None:
    server.authorize(take=False)

    with pytest.raises(SSHError, match="does not accept the machine's key for the user") as caught:
        connect(server.target(), op=told.op)

    assert "ssh.user" in caught.value.hint


def test_a_missing_key_file_is_named(server: Sshd, told: Told) -> None:
    (server.folder / "user").unlink()

    with pytest.raises(Exception, match=r"sshd/user") as caught:
        connect(server.target(), op=told.op)

    assert caught.type.__name__ == "HostError"


def test_a_damaged_key_file_is_named(server: Sshd, told: Told) -> None:
    (server.folder / "user").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")

    with pytest.raises(MachineError, match="not a private key that vx can use"):
        connect(server.target(), op=told.op)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_a_users_own_keys_may_be_of_another_kind(tmp_path: Path, told: Told, kind: str) -> None:
    server = Sshd(tmp_path / "sshd")
    for name in ("host", "user"):
        (server.folder / name).unlink()
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", server.folder / name], check=True
        )
    public = {name: (server.folder / f"{name}.pub").read_text() for name in ("host", "user")}
    (server.folder / "authorized_keys").write_text(public["user"])
    server.pin(public["host"])
    server.start()
    try:
        with connect(server.target(), op=told.op) as client:
            assert client.exec("echo in", op=told.op).stdout == b"in\n"
    finally:
        server.stop()


def test_nobody_listening_is_said(server: Sshd, told: Told) -> None:
    with pytest.raises(SSHError, match="refuses connections"):
        connect(at_port(server, free_port()), op=told.op)


def test_a_silent_server_ends_at_the_timeout(server: Sshd, told: Told) -> None:
    with tcp_server(silent) as mute:
        began = time.monotonic()
        with pytest.raises(SSHError, match="did not finish an ssh greeting"):
            connect(at_port(server, mute.port), op=told.op)

    assert time.monotonic() - began < 3


def test_a_server_that_hangs_up_is_said(server: Sshd, told: Told) -> None:
    with tcp_server(closing) as rude, pytest.raises(SSHError, match="took the connection but sent"):
        connect(at_port(server, rude.port, timeout_s=5), op=told.op)


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-1.5-old\r\n",
        b"SSH-2.0-x\r\n" + b"\xff" * 4096,
        b"\0" * 100_000,
    ],
    ids=["http", "ssh 1.5", "noise behind a greeting", "zeros"],
)
def test_what_is_not_ssh_is_one_clear_error_and_silent_on_stderr(
    server: Sshd, told: Told, text: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with tcp_server(greeting(text)) as stranger, pytest.raises(SSHError):
        connect(at_port(server, stranger.port, timeout_s=2), op=told.op)

    time.sleep(0.2)
    assert capfd.readouterr().err == ""


def test_cancelling_ends_a_login_at_once(server: Sshd, told: Told) -> None:
    threading.Timer(0.2, told.cancel.set).start()

    with tcp_server(silent) as mute:
        began = time.monotonic()
        with pytest.raises(Cancelled):
            connect(at_port(server, mute.port, timeout_s=30), op=told.op)

    assert time.monotonic() - began < 0.5


def test_closing_leaves_no_thread_and_no_session(server: Sshd, told: Told) -> None:
    before = threading.active_count()
    client = connect(server.target(), op=told.op)
    client.exec("true", op=told.op)

    client.close()
    client.close()

    deadline = time.monotonic() + 3
    while (threading.active_count() > before or server.sessions()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= before
    assert server.sessions() == []
