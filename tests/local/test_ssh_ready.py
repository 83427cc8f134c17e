"""Waiting for a guest: noticed at once when it is ready, and at once when it will never be."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.sshd import Sshd, TcpServer, Told, closing, free_port, silent, sshd_in, tcp_server
from vagrantish.diagnosis.endings import Ending, EndingKind, classify
from vagrantish.errors import BootError, HostKeyChanged
from vagrantish.events import Cancelled, Progress, StepFinished
from vagrantish.model import Address, Candidates
from vagrantish.ssh import keys
from vagrantish.ssh.ready import Patience, Sources, wait_ready

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vagrantish.ssh.client import Client
    from vagrantish.ssh.target import Target


GONE = Ending(kind=EndingKind.UNKNOWN, text="")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd_in(tmp_path / "sshd") as sshd:
        yield sshd


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def console(tmp_path: Path) -> Path:
    path = tmp_path / "console.log"
    path.touch()
    return path


class Guest:
    """What ``wait_ready`` is told of a guest; its port may come to life later."""

    def __init__(self, server: Sshd, console: Path, told: Told) -> None:
        self.server = server
        self.console = console
        self.told = told
        self.provider_log = console.with_name("provider.log")
        self.ending: Ending | None = None
        self.port: int | None = server.port
        self.before: tuple[int, ...] = ()  # candidates before it
        self.certain = True
        self.started_before_s = 0.0

    def say(self, text: bytes) -> None:
        with self.console.open("ab") as file:
            file.write(text)

    def wait(self, *, timeout_s: float = 20, stall_s: float = 20, console_from: int = 0) -> Client:
        return wait_ready(
            self.candidates,
            lambda address: self.at(address.port),
            Sources(
                console_log=self.console,
                provider_log=self.provider_log,
                ending=lambda: self.ending,
                console_from=console_from,
            ),
            timeout_s=timeout_s,
            stall_s=stall_s,
            started_at=time.monotonic() - self.started_before_s,
            op=self.told.op,
            patience=Patience(quiet_s=0.8, refused_s=1.2, foreign_s=0.8),
        )

    def candidates(self) -> Candidates:
        ports = (*self.before, *(() if self.port is None else (self.port,)))
        addresses = tuple(Address(host="127.0.0.1", port=port) for port in ports)
        return Candidates(addresses=addresses, certain=self.certain)

    def at(self, port: int) -> Target:
        target = self.server.target()
        target.address_port = port
        return target


@pytest.fixture
def guest(server: Sshd, console: Path, told: Told) -> Guest:
    return Guest(server, console, told)


def later(seconds: float, work: Callable[[], object]) -> None:
    threading.Timer(seconds, work).start()


def test_a_guest_that_is_up_is_ready_at_once(guest: Guest, told: Told) -> None:
    with guest.wait() as client:
        result = client.exec("echo here", op=told.op)

    assert result.stdout == b"here\n"
    assert told.texts(StepFinished, "text")[0].startswith("ready in ")


def test_a_guest_whose_log_and_address_come_late_is_waited_for(guest: Guest, console: Path) -> None:
    console.unlink()
    guest.port = None
    later(0.4, lambda: setattr(guest, "port", guest.server.port))

    guest.wait().close()


def test_a_silent_port_that_comes_to_life_is_noticed(guest: Guest) -> None:
    """User-mode networking: connections are taken from the start and lead nowhere."""
    port = free_port()
    guest.port = port
    mute = TcpServer(silent, port=port)
    live = [0.0]

    def come_to_life() -> None:
        mute.close()
        guest.server.stop()
        guest.server.start(port=port)
        live[0] = time.monotonic()

    later(1.0, come_to_life)
    guest.wait().close()

    assert mute.connections > 2
    assert live[0] > 0


def test_the_consoles_hint_ends_a_try_that_would_wait_longer(guest: Guest) -> None:
    """After minutes of waiting a try is patient; the guest's own word beats it."""
    with tcp_server(silent) as mute:
        guest.port = mute.port
        told_at = [0.0]

        def ready() -> None:
            guest.port = guest.server.port
            guest.say(b"vx: ready ssh\r\n")
            told_at[0] = time.monotonic()

        later(0.6, ready)
        guest.started_before_s = 1000  # so a try lasts 80 s
        guest.wait(timeout_s=30, stall_s=30).close()

    assert time.monotonic() - told_at[0] < 2


def test_a_closed_port_and_no_port_are_waited_for(guest: Guest) -> None:
    with tcp_server(closing) as rude:
        guest.port = rude.port
        later(0.3, lambda: setattr(guest, "port", free_port()))
        later(0.6, lambda: setattr(guest, "port", guest.server.port))

        guest.wait().close()


def test_a_user_who_comes_late_is_waited_for(guest: Guest) -> None:
    guest.server.authorize(take=False)
    later(0.7, guest.server.authorize)

    guest.wait().close()


def test_a_key_that_is_never_taken_is_the_reason_given(guest: Guest) -> None:
    guest.server.authorize(take=False)
    guest.say(b"Linux version 6.1\r\nvx: ready ssh\r\n")

    with pytest.raises(BootError, match="does not accept the machine's key") as caught:
        guest.wait(timeout_s=1)

    assert caught.value.stage == "sshd"


def test_a_guest_without_ssh_ends_at_the_timeout_with_its_stage(guest: Guest) -> None:
    guest.say(b"[    0.000000] Linux version 6.1\n[    1.0] Run /init as init process\n")
    guest.port = free_port()

    with pytest.raises(
        BootError, match=r"not become ready within 0\.5 s .*initrd.*refuses"
    ) as caught:
        guest.wait(timeout_s=0.5)

    assert caught.value.console[-1] == "[    1.0] Run /init as init process"
    assert "boot.timeout" in caught.value.hint


def test_a_panic_ends_the_wait_at_once_with_its_cause(guest: Guest) -> None:
    guest.port = free_port()
    later(
        0.5,
        lambda: guest.say(
            b'[    0.0] Linux version 6.1\r\n[    2.0] VFS: Cannot open root device "vda"\r\n'
            b"[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n"
        ),
    )
    began = time.monotonic()

    with pytest.raises(BootError, match="kernel panicked: VFS: Unable to mount root fs") as caught:
        guest.wait()

    assert time.monotonic() - began < 1.5
    assert "root=" in caught.value.hint
    assert caught.value.cause == "root-device"
    assert caught.value.console[-1].endswith("Unable to mount root fs")


def test_a_panic_while_logging_in_ends_the_wait_too(guest: Guest) -> None:
    def greet(sock: socket.socket) -> None:
        sock.sendall(b"SSH-2.0-slow\r\n")

    with tcp_server(greet) as slow:
        guest.port = slow.port
        later(0.5, lambda: guest.say(b"Kernel panic - not syncing: Fatal exception\n"))
        began = time.monotonic()
        with pytest.raises(BootError, match="Fatal exception"):
            guest.wait()

    assert time.monotonic() - began < 1.5


def test_a_hypervisor_that_ends_ends_the_wait(guest: Guest) -> None:
    guest.port = free_port()
    guest.say(b"[    0.000000] Linux version 6.1\n")
    later(0.4, lambda: setattr(guest, "ending", GONE))
    began = time.monotonic()

    with pytest.raises(BootError, match=r"stopped by itself.*kernel") as caught:
        guest.wait()

    assert time.monotonic() - began < 1.5
    assert "vx logs --provider" in caught.value.hint


def test_a_panic_that_ended_the_hypervisor_is_the_reason_given(guest: Guest) -> None:
    guest.port = free_port()

    def die() -> None:
        guest.ending = GONE
        guest.say(b"Kernel panic - not syncing: Attempted to kill init! exitcode=0x0\n")

    later(0.3, die)

    with pytest.raises(BootError, match="Attempted to kill init"):
        guest.wait()


def test_a_start_script_that_fails_ends_the_wait(guest: Guest) -> None:
    guest.port = free_port()
    guest.say(b"vx: failed: no seed\n")

    with pytest.raises(BootError, match="could not start: no seed"):
        guest.wait()


def test_nothing_new_for_too_long_ends_the_wait(guest: Guest) -> None:
    with tcp_server(silent) as mute:
        guest.port = mute.port
        guest.say(b"[    0.000000] Linux version 6.1\n")
        later(0.4, lambda: guest.say(b"one more line\n"))
        began = time.monotonic()
        with pytest.raises(BootError, match="not got any further") as caught:
            guest.wait(stall_s=0.8)

    assert 1.1 < time.monotonic() - began < 3
    assert "boot.stall" in caught.value.hint


def test_another_host_key_ends_the_wait(guest: Guest) -> None:
    guest.server.pin(keys.generate("other").public)
    began = time.monotonic()

    with pytest.raises(HostKeyChanged):
        guest.wait()

    assert time.monotonic() - began < 2


def test_what_the_boot_before_said_does_not_count(guest: Guest, console: Path) -> None:
    guest.say(b"vx: failed: last time\n")

    guest.wait(console_from=console.stat().st_size).close()


def test_cancelling_ends_the_wait_at_once(guest: Guest, told: Told) -> None:
    guest.port = free_port()
    later(0.3, told.cancel.set)
    began = time.monotonic()

    with pytest.raises(Cancelled):
        guest.wait()

    assert time.monotonic() - began < 0.6


def test_stages_are_shown_as_they_are_reached(guest: Guest, told: Told) -> None:
    guest.port = None

    def boot() -> None:
        for line in (b"SeaBIOS\n", b"Linux version 6\n", b"vx: drivers loaded\n"):
            guest.say(line)
            time.sleep(0.1)
        guest.port = guest.server.port
        guest.say(b"vx: network up\nvx: ready ssh\n")

    later(0, boot)
    guest.wait().close()

    shown = told.texts(Progress, "unit")
    assert shown[:3] == ["firmware", "kernel", "initrd"]
    assert shown[-1] == "sshd"


def test_garbage_on_the_console_does_no_harm(guest: Guest) -> None:
    guest.say(bytes(range(256)) * 5000 + b"\x1b]0;title\x07\x1b[2J" + b"x" * 3_000_000)

    guest.wait().close()


def test_what_the_hypervisor_complains_of_ends_the_wait_with_all_of_it(guest: Guest) -> None:
    guest.port = free_port()
    guest.provider_log.write_text("rdmsr to register 0x140 on vcpu 0\nvm exit[0]\n")

    def complain() -> None:
        with guest.provider_log.open("a") as file:
            file.write("\treason\t\tVMX\n\texit_reason\t33\n")

    later(0.1, complain)
    began = time.monotonic()

    with pytest.raises(BootError, match="cannot start so new a kernel") as caught:
        guest.wait()

    assert time.monotonic() - began < 2
    assert caught.value.cause == "guest-state-invalid"
    assert any("exit_reason" in line for line in caught.value.console)


def test_how_the_hypervisor_ended_is_told(guest: Guest) -> None:
    guest.port = free_port()
    text = "virtio_net: Could not create vmnet interface, permission denied or no entitlement?\n"
    guest.provider_log.write_text(text)
    guest.ending = classify("xhyve", status=1, seconds=0.2, printed=False, stderr=text)

    with pytest.raises(BootError, match="its console stayed empty") as caught:
        guest.wait()

    assert caught.value.cause == "vmnet-refused"
    assert "vx doctor" in caught.value.hint


def test_another_host_key_is_told_with_the_stage(guest: Guest) -> None:
    guest.server.pin(keys.generate("other").public)
    guest.say(b"[    0.000000] Linux version 6.1\nvx: network up\n")

    with pytest.raises(HostKeyChanged) as caught:
        guest.wait()

    assert (caught.value.cause, caught.value.stage) == ("host-key", "network")


def test_of_several_addresses_the_one_that_proves_itself_is_taken(
    guest: Guest, tmp_path: Path
) -> None:
    guest.certain = False
    with sshd_in(tmp_path / "stranger") as stranger, tcp_server(silent) as dead:
        guest.before = (free_port(), stranger.port, dead.port)
        client = guest.wait()

    assert client.target.address_port == guest.server.port
    client.close()


def test_a_lease_of_another_guest_is_told_when_nothing_else_answers(
    guest: Guest, tmp_path: Path
) -> None:
    guest.certain = False
    with sshd_in(tmp_path / "stranger") as stranger:
        guest.before, guest.port = (stranger.port,), free_port()
        guest.say(b"[    0.000000] Linux version 6.1\n")
        with pytest.raises(BootError, match=r"another machine answers there.*refuses"):
            guest.wait(timeout_s=1)


def test_a_guest_whose_only_address_is_anothers_has_another_key(
    guest: Guest, tmp_path: Path
) -> None:
    guest.certain = False
    with sshd_in(tmp_path / "stranger") as stranger:
        guest.port = stranger.port
        guest.say(b"vx: network up\n")
        began = time.monotonic()
        with pytest.raises(HostKeyChanged):
            guest.wait(timeout_s=30, stall_s=30)

    assert 0.8 < time.monotonic() - began < 4


def test_a_guest_that_has_booted_without_sshd_is_not_waited_for(guest: Guest) -> None:
    guest.port = free_port()
    guest.say(b"[    0.000000] Linux version 6.1\r\n\r\ndebian login: ")
    began = time.monotonic()

    with pytest.raises(BootError, match="no ssh server answers") as caught:
        guest.wait(timeout_s=60, stall_s=60)

    assert time.monotonic() - began < 4
    assert caught.value.cause == "no-sshd"
    assert caught.value.stage == "login"


def test_a_guest_that_goes_on_refusing_after_its_boot_is_not_waited_for(guest: Guest) -> None:
    guest.server.authorize(take=False)
    guest.say(b"[    0.000000] Linux version 6.1\nStarting sshd.\n")

    with pytest.raises(BootError, match="refuses the login") as caught:
        guest.wait(timeout_s=60, stall_s=60)

    assert caught.value.cause == "login-refused"


def test_a_guest_that_says_it_booted_and_goes_on_writing_is_waited_for(guest: Guest) -> None:
    port, guest.port = guest.port, free_port()
    guest.say(b"[    0.000000] Linux version 6.1\ndebian login: ")
    for number in range(1, 5):
        later(0.4 * number, lambda: guest.say(b"\ncloud-init goes on"))
    later(1.8, lambda: setattr(guest, "port", port))

    guest.wait().close()


def test_a_guest_that_got_no_lease_is_not_waited_for(guest: Guest) -> None:
    guest.port = None
    guest.say(b"[    0.000000] Linux version 6.1\nudhcpc: no lease, failing\n")
    began = time.monotonic()

    with pytest.raises(BootError, match="nobody answered") as caught:
        guest.wait(timeout_s=60, stall_s=60)

    assert time.monotonic() - began < 4
    assert caught.value.cause == "no-dhcp"
