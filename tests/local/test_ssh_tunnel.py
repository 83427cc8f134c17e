"""Forwards by OpenSSH and a keeper of ours, into a real sshd that plays the guest."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.sshd import Sshd, TcpServer, Told, free_port, silent, sshd_in, tcp_server
from vagrantish import proc
from vagrantish.errors import PortTaken, ProviderError, SSHError
from vagrantish.events import Cancelled, Note
from vagrantish.lifecycle.forwarding import are_open, asked, check, close_forwards, open_forwards
from vagrantish.model import Forward
from vagrantish.paths import MachineLayout
from vagrantish.provider import hostports, running
from vagrantish.ssh import tunnel
from vagrantish.ssh.keeper import BUSY
from vagrantish.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vagrantish.proc import ProcessIdentity


_KEYS = (
    "argv", "wanted", "forwards", "processes", "keeper", "ssh", "pid", "started", "program", "guest",
    "host",
)  # fmt: skip


def until(probe: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 20
    while not probe():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def alive(process: ProcessIdentity | None) -> ProcessIdentity:
    assert process is not None
    return process


@dataclass
class Machine:
    """One whose hypervisor is a process that sleeps."""

    sshd: Sshd
    layout: MachineLayout
    told: Told = field(default_factory=Told)
    name: str = "web"

    def start(self) -> None:
        self.layout.directory.mkdir(exist_ok=True)
        self.sleeper = subprocess.Popen(["sleep", "600"])
        self.process = alive(proc.identify(self.sleeper.pid))
        note = running.note_of(self.process, ("127.0.0.1", self.sshd.port), ())
        running.write_note(self.layout, note)

    def open(self, *forwards: Forward, anew: bool = False) -> tuple[Forward, ...]:
        return open_forwards(
            self.sshd.target(),
            self.layout,
            forwards,
            self.process,
            provider="xhyve",
            anew=anew,
            op=self.told.op.on(self.name),
        )

    def close(self) -> None:
        close_forwards(self.layout, op=self.told.op.on(self.name))

    @property
    def keeper(self) -> ProcessIdentity:
        return alive(tunnel.read_state(self.layout).keeper)

    @property
    def ssh(self) -> ProcessIdentity:
        return alive(tunnel.read_state(self.layout).ssh)

    def log(self) -> str:
        return self.layout.tunnel_log.read_text()

    def power_off(self) -> None:
        self.sleeper.kill()
        self.sleeper.wait()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with sshd_in(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def machine(sshd: Sshd, vx_home: Path) -> Iterator[Machine]:
    made = Machine(sshd, MachineLayout(vx_home / "m 1%h"))
    made.start()
    yield made
    made.power_off()
    made.close()


@pytest.fixture
def service() -> Iterator[TcpServer]:
    """Listens in the guest, whose loopback is ours."""
    server = TcpServer(lambda sock: sock.sendall(b"hello from the guest"))
    yield server
    server.close()


def hear(forward: Forward) -> bytes:
    """What the port says; nothing where the guest's is closed, and an error where ours is."""
    with socket.create_connection((forward.host_ip, forward.host), timeout=10) as sock:
        try:
            return sock.recv(100)
        except ConnectionResetError:
            return b""


def is_heard(forward: Forward) -> bool:
    try:
        return hear(forward) == b"hello from the guest"
    except OSError:
        return False


def is_closed(forward: Forward) -> bool:
    try:
        hear(forward)
    except ConnectionRefusedError:
        return True
    return False


def test_a_port_leads_into_the_guest_until_it_is_closed(
    machine: Machine, service: TcpServer
) -> None:
    wanted = Forward(guest=service.port, host=free_port())

    (opened,) = machine.open(wanted)

    assert opened == wanted
    assert hear(opened) == b"hello from the guest"
    assert are_open(machine.layout)
    assert [(f.guest, f.host) for f in running.forwards(machine.layout)] == [
        (service.port, wanted.host)
    ]
    keeper, ssh = machine.keeper, machine.ssh

    machine.close()
    machine.close()

    assert is_closed(opened)
    assert not are_open(machine.layout)
    assert not proc.is_alive(keeper)
    assert not proc.is_alive(ssh)
    left = {path.name for path in machine.layout.directory.iterdir()}
    assert left == {"process.json", "tunnel.log", "tunnel.lock"}


def test_opening_again_changes_nothing_and_other_ports_take_the_place_of_the_first(
    machine: Machine, service: TcpServer
) -> None:
    one, other = (Forward(guest=service.port, host=free_port()) for _ in range(2))
    machine.open(one)
    keeper = machine.keeper

    assert machine.open(one) == (one,)
    assert machine.keeper == keeper

    assert machine.open(other) == (other,)
    assert is_heard(other)
    assert is_closed(one)

    assert machine.open() == ()
    assert is_closed(other)
    assert running.forwards(machine.layout) == ()


def test_it_leads_no_session_and_has_no_terminal_lock_or_secret_of_the_command(
    machine: Machine, service: TcpServer, tmp_path: Path
) -> None:
    held = (tmp_path / "lock").open("w")
    os.set_inheritable(held.fileno(), True)

    machine.open(Forward(guest=service.port, host=0))

    for found in (machine.keeper, machine.ssh):
        process = psutil.Process(found.pid)
        assert process.terminal() is None
        assert os.getsid(found.pid) != os.getsid(0)
        assert str(tmp_path / "lock") not in [file.path for file in process.open_files()]
        assert set(process.environ()) <= {
            "PATH", "HOME", "VX_HOME", "TMPDIR", "LC_ALL", "LC_CTYPE", "PYTHONPATH",
            "LD_LIBRARY_PATH",
        }  # fmt: skip
    assert psutil.Process(machine.keeper.pid).ppid() != os.getpid()
    held.close()


def test_it_is_small(machine: Machine) -> None:
    machine.open(Forward(guest=80, host=0))

    assert psutil.Process(machine.keeper.pid).memory_info().rss < 20 * MIB


def test_it_ends_with_the_machine(machine: Machine, service: TcpServer) -> None:
    (opened,) = machine.open(Forward(guest=service.port, host=0))
    keeper, ssh = machine.keeper, machine.ssh

    machine.power_off()

    until(lambda: not proc.is_alive(keeper) and not proc.is_alive(ssh), "they go on")
    assert is_closed(opened)
    assert not machine.layout.tunnel_socket.exists()


def test_with_a_supervisor_it_stays_until_both_are_gone(
    machine: Machine, service: TcpServer
) -> None:
    supervisor = subprocess.Popen(["sleep", "600"])
    identity = running.identity_fields(proc.identify(supervisor.pid))
    note = running.read_note(machine.layout)
    running.write_note(machine.layout, {**(note or {}), "supervisor": identity})
    wanted = Forward(guest=service.port, host=0)
    (opened,) = machine.open(wanted)
    keeper = machine.keeper

    supervisor.kill()
    supervisor.wait()
    time.sleep(1.5)  # it looks every second

    assert is_heard(opened)
    assert machine.open(wanted) == (opened,)
    assert machine.keeper == keeper
    machine.power_off()
    until(lambda: not proc.is_alive(keeper), "it goes on")


def test_a_lost_connection_comes_back_on_the_same_port(
    machine: Machine, sshd: Sshd, service: TcpServer
) -> None:
    (opened,) = machine.open(Forward(guest=service.port, host=0))
    keeper, before = machine.keeper, machine.ssh

    sshd.stop()  # the guest reboots: for a while nobody answers
    until(lambda: not proc.is_alive(before), "ssh has not noticed")
    until(lambda: not are_open(machine.layout), "it counts as open")
    sshd.start(port=sshd.port)

    until(lambda: is_heard(opened), "the port is not open again")
    until(lambda: are_open(machine.layout), "it counts as closed")
    assert machine.keeper == keeper
    assert "the connection was lost" in machine.log()


def test_while_the_guest_reboots_opening_waits_for_it(
    machine: Machine, sshd: Sshd, service: TcpServer
) -> None:
    wanted = Forward(guest=service.port, host=free_port())
    machine.open(wanted)
    keeper = machine.keeper
    sshd.stop()
    until(lambda: not are_open(machine.layout), "it counts as open")
    again = threading.Timer(1, lambda: sshd.start(port=sshd.port))
    again.start()

    assert machine.open(wanted) == (wanted,)

    assert is_heard(wanted)
    assert machine.keeper == keeper
    again.join()


def test_a_connection_from_before_a_reboot_is_replaced_though_ssh_has_not_noticed(
    machine: Machine, sshd: Sshd, service: TcpServer
) -> None:
    wanted = Forward(guest=service.port, host=0)
    opened = machine.open(wanted)
    before = machine.ssh
    sshd.freeze()

    assert machine.open(wanted, anew=True) == opened

    assert is_heard(opened[0])
    assert machine.ssh != before


def test_a_killed_ssh_is_replaced(machine: Machine, service: TcpServer) -> None:
    (opened,) = machine.open(Forward(guest=service.port, host=0))

    psutil.Process(machine.ssh.pid).kill()

    until(lambda: are_open(machine.layout), "not open again")
    until(lambda: is_heard(opened), "the port is not open again")


def test_after_a_killed_keeper_opening_gives_the_same_ports_again(
    machine: Machine, service: TcpServer
) -> None:
    wanted = (Forward(guest=service.port, host=0), Forward(guest=service.port, host=free_port()))
    opened = machine.open(*wanted)
    orphan = machine.ssh
    psutil.Process(machine.keeper.pid).kill()
    until(lambda: not are_open(machine.layout), "it counts as open")

    assert machine.open(*wanted) == opened

    assert all(map(is_heard, opened))
    assert not proc.is_alive(orphan)


@pytest.mark.parametrize("kept", [True, False])
def test_what_a_killed_keeper_left_is_ended_also_when_nothing_was_noted(
    machine: Machine, service: TcpServer, kept: bool
) -> None:
    (opened,) = machine.open(Forward(guest=service.port, host=0))
    orphan = machine.ssh
    psutil.Process(machine.keeper.pid).kill()
    if not kept:
        machine.layout.tunnel_state.unlink()

    machine.close()

    until(lambda: not proc.is_alive(orphan), "it goes on")
    assert is_closed(opened)


def test_stale_files_are_no_hindrance(machine: Machine, service: TcpServer) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(machine.layout.tunnel_socket))
    machine.layout.tunnel_state.write_text('{"schema": 1, "keeper": {"pid": 1}, "ssh": []}')
    machine.layout.tunnel_job.write_text("[" * 100_000)

    (opened,) = machine.open(Forward(guest=service.port, host=0))

    assert is_heard(opened)
    assert are_open(machine.layout)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=len(_KEYS))
        ),
    )
)
def test_notes_of_any_shape_are_read_or_count_as_none(note: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        layout = MachineLayout(Path(folder))
        told = {**note, "schema": 1} if isinstance(note, dict) else note
        layout.tunnel_job.write_text(json.dumps(told))
        layout.tunnel_state.write_text(json.dumps(told))

        job = tunnel.read_job(layout)

        assert job is None or all(isinstance(word, str) for word in job.argv)
        assert all(isinstance(forward, Forward) for forward in asked(layout))
        assert not are_open(layout)


def test_a_noted_pid_that_is_somebody_elses_is_let_alone(
    machine: Machine, service: TcpServer
) -> None:
    itself = machine.process
    stranger = proc.ProcessIdentity(itself.pid, f"{itself.started}0", itself.program)
    state = tunnel.State(stranger, stranger)
    machine.layout.tunnel_state.write_bytes(state.to_json())

    machine.close()

    assert proc.is_alive(machine.process)


def test_a_port_that_is_closed_in_the_guest_is_no_failure_of_ours(machine: Machine) -> None:
    (opened,) = machine.open(Forward(guest=free_port(), host=0))

    assert hear(opened) == b""
    assert are_open(machine.layout)


def test_a_taken_port_moves_and_its_holder_is_told(machine: Machine, service: TcpServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        (opened,) = machine.open(Forward(guest=service.port, host=port))
        (again,) = machine.open(Forward(guest=service.port, host=port))

    assert port < opened.host <= port + 100
    assert again == opened
    assert is_heard(opened)
    (text,) = machine.told.texts(Note, "text")
    assert text.startswith(f"Host port {port} is taken by ")
    assert f"pid {os.getpid()}" in text


def test_a_port_that_moved_stays_there_and_is_told_once(
    machine: Machine, service: TcpServer
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        wanted = Forward(guest=service.port, host=other.getsockname()[1])
        moved = machine.open(wanted)
    psutil.Process(machine.keeper.pid).kill()
    until(lambda: not are_open(machine.layout), "it counts as open")

    assert machine.open(wanted) == moved

    assert len(machine.told.texts(Note, "text")) == 1


def test_a_port_that_vx_chose_moves_when_another_took_it_meanwhile(
    machine: Machine, service: TcpServer
) -> None:
    wanted = Forward(guest=service.port, host=0, auto=False)
    (opened,) = machine.open(wanted)
    psutil.Process(machine.keeper.pid).kill()
    psutil.Process(machine.ssh.pid).kill()
    until(lambda: is_closed(opened), "the port is open")
    with socket.create_server(("127.0.0.1", opened.host)):
        (moved,) = machine.open(wanted)

    assert moved.host not in (0, opened.host)
    assert is_heard(moved)


def test_what_cannot_be_opened_again_counts_as_closed(machine: Machine, service: TcpServer) -> None:
    wanted = Forward(guest=service.port, host=free_port(), auto=False)
    machine.open(wanted)
    psutil.Process(machine.keeper.pid).kill()
    psutil.Process(machine.ssh.pid).kill()
    until(lambda: is_closed(wanted), "the port is open")

    with socket.create_server(("127.0.0.1", wanted.host)), pytest.raises(PortTaken):
        machine.open(wanted)

    assert running.forwards(machine.layout) == ()
    assert asked(machine.layout) == ()
    assert machine.open(wanted) == (wanted,)
    assert asked(machine.layout) == (wanted,)


def test_before_a_start_only_ports_that_may_not_move_are_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = Forward(guest=80, host=other.getsockname()[1])

        check((taken, Forward(guest=81, host=0)), machine="web")
        with pytest.raises(PortTaken, match=f"guest port 80 of web, is held by .*{os.getpid()}"):
            check((replace(taken, auto=False),), machine="web")
    with pytest.raises(ProviderError, match="no address of this host"):
        check((Forward(guest=80, host=0, host_ip="192.0.2.1"),), machine="web")


@pytest.mark.parametrize(
    ("setting", "is_told"),
    [
        ("AllowTcpForwarding no", True),
        ("AllowTcpForwarding local", False),
        ("PermitOpen 127.0.0.1:{port}", False),
        ("PermitOpen 127.0.0.1:1", False),
    ],
)
def test_a_guest_whose_sshd_forbids_forwarding_is_told(
    machine: Machine, sshd: Sshd, service: TcpServer, setting: str, is_told: bool
) -> None:
    sshd.stop()
    sshd.start(port=sshd.port, extra=setting.format(port=service.port))

    machine.open(Forward(guest=service.port, host=0))

    assert [text[:39] for text in machine.told.texts(Note, "text")] == (
        ["The guest's sshd forbids forwarding, so"] if is_told else []
    )


def test_a_taken_port_that_may_not_move_is_refused(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        fixed = Forward(guest=80, host=other.getsockname()[1], auto=False)

        with pytest.raises(PortTaken, match=f"is held by .*pid {os.getpid()}"):
            machine.open(Forward(guest=81, host=0), fixed)

    assert not are_open(machine.layout)
    assert not machine.layout.tunnel_state.exists()


def test_two_machines_have_their_own_and_a_port_of_the_other_is_named(
    machine: Machine, sshd: Sshd, vx_home: Path, service: TcpServer
) -> None:
    other = Machine(sshd, MachineLayout(vx_home / "m2"), name="db")
    other.start()
    (first,) = machine.open(Forward(guest=service.port, host=free_port()))

    (second,) = other.open(Forward(guest=service.port, host=first.host))

    assert "taken by the forwards of machine web (pid" in other.told.texts(Note, "text")[0]
    assert is_heard(first)
    assert is_heard(second)
    machine.close()
    assert is_closed(first)
    assert is_heard(second)
    other.power_off()
    other.close()


def test_ports_of_one_machine_do_not_take_each_others(machine: Machine, service: TcpServer) -> None:
    port = free_port()
    wanted = (
        Forward(guest=service.port, host=port),
        Forward(guest=service.port, host=port, auto=False),
    )

    moved, kept = machine.open(*wanted)

    assert kept.host == port
    assert moved.host != port
    assert is_heard(moved)
    assert is_heard(kept)
    twice = [replace(forward, auto=False) for forward in wanted]
    with pytest.raises(PortTaken, match="wanted twice"):
        machine.open(*twice)


@pytest.mark.parametrize("ip", ["127.0.0.2", "0.0.0.0"])
def test_a_port_may_be_on_another_address(machine: Machine, service: TcpServer, ip: str) -> None:
    (opened,) = machine.open(Forward(guest=service.port, host=0, host_ip=ip))

    assert opened.host_ip == ip
    assert is_heard(opened)
    is_everywhere = is_heard(replace(opened, host_ip="127.0.0.1"))
    assert is_everywhere == (ip == "0.0.0.0")


def test_an_address_that_is_not_the_hosts_is_told(machine: Machine) -> None:
    for port in (0, 8080):
        with pytest.raises(ProviderError, match=r"192\.0\.2\.1 is no address of this host"):
            machine.open(Forward(guest=80, host=port, host_ip="192.0.2.1"))


def test_udp_is_refused_before_anything_is_opened(machine: Machine) -> None:
    with pytest.raises(ProviderError, match=r"udp guest port 53 .* under xhyve") as caught:
        machine.open(Forward(guest=80, host=0), Forward(guest=53, host=0, proto="udp"))

    assert "qemu" in caught.value.hint
    assert not machine.layout.tunnel_job.exists()


def test_a_guest_that_refuses_the_key_is_told_with_sshs_words(machine: Machine) -> None:
    machine.sshd.authorize(take=False)

    with pytest.raises(SSHError, match="Permission denied"):
        machine.open(Forward(guest=80, host=0))

    assert tunnel.read_state(machine.layout).keeper is None
    assert not machine.layout.tunnel_job.exists()


def test_a_machine_that_is_gone_gets_none(machine: Machine) -> None:
    machine.power_off()

    with pytest.raises(SSHError, match="the machine ended"):
        machine.open(Forward(guest=80, host=0))


def test_a_user_who_gives_up_leaves_nothing_behind(machine: Machine, sshd: Sshd) -> None:
    with tcp_server(silent) as server:
        real, sshd.port = sshd.port, server.port
        threading.Timer(0.5, machine.told.cancel.set).start()

        with pytest.raises(Cancelled):
            machine.open(Forward(guest=80, host=0))

        sshd.port = real
    state = tunnel.read_state(machine.layout)
    assert (state.keeper, state.ssh) == (None, None)
    assert not machine.layout.tunnel_job.exists()


def test_the_log_does_not_grow_for_ever(machine: Machine) -> None:
    machine.layout.tunnel_log.write_bytes(b"channel 2: open failed\n" * 60_000)

    machine.open(Forward(guest=80, host=0))

    until(lambda: machine.layout.tunnel_log.stat().st_size < 1 << 16, "it is as long as before")


def test_a_second_keeper_does_not_take_over(machine: Machine, service: TcpServer) -> None:
    machine.open(Forward(guest=service.port, host=0))
    before = machine.layout.tunnel_state.read_bytes()

    done = subprocess.run(
        [sys.executable, "-m", "vagrantish.ssh.keeper", str(machine.layout.tunnel_job)],
        capture_output=True,
        timeout=20,
    )

    assert done.returncode == BUSY
    assert b"another process" in done.stderr
    assert machine.layout.tunnel_state.read_bytes() == before
    assert are_open(machine.layout)


def test_a_port_is_known_by_the_name_of_the_socket_of_who_holds_it(tmp_path: Path) -> None:
    assert f"-oControlPath={tunnel.SOCKET}" == hostports.SSH_MARK
    assert MachineLayout(tmp_path).tunnel_socket.name == tunnel.SOCKET
