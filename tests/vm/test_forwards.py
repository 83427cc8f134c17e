"""Forwarded ports of a real guest under a hypervisor that has none, through all its life."""

from __future__ import annotations

import os
import re
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.fakes.guest import MISSING
from tests.fakes.hyve.install import install
from tests.fakes.sshd import free_port
from vagrantish import proc
from vagrantish.paths import VxHome
from vagrantish.provider import running
from vagrantish.ssh import tunnel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Vx
    from vagrantish.paths import MachineLayout

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(MISSING is not None, reason=f"needs {MISSING}"),
]

SSH_PORT = 22 if os.geteuid() == 0 else 20022
PATIENCE_S = 90


def settings(folder: Path, forwards: str) -> str:
    program = install(
        folder / "bin",
        settings={
            "FAKE_XHYVE_STATE": str(folder / "state"),
            "FAKE_XHYVE_ROOT": "1",
            "FAKE_XHYVE_FLAVOUR": "head",
            "FAKE_XHYVE_SSH_PORT": str(SSH_PORT),
        },
    )
    return (
        f'box = "micro"\nprovider = "xhyve"\n[ssh]\nguest_port = {SSH_PORT}\n'
        f'[xhyve]\nbinary = "{program}"\nleases = "{folder}/state/dhcpd_leases"\n{forwards}'
    )


def forward(host: int, *, guest: int = SSH_PORT, more: str = "") -> str:
    return f"[[forward]]\nguest = {guest}\nhost = {host}\n{more}\n"


def greets(port: int) -> bool:
    """Whether the guest's sshd is at that port of the host."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        return sock.recv(4) == b"SSH-"
    return False


def is_closed(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def until(probe: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not probe():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def layout_of(vx: Vx) -> MachineLayout:
    (folder,) = VxHome(vx.home).machines.iterdir()
    return VxHome(vx.home).machine(folder.name)


def kill_forwards(layout: MachineLayout) -> None:
    state = tunnel.read_state(layout)
    for process in (state.keeper, state.ssh):
        assert process is not None
        psutil.Process(process.pid).kill()


def test_forwards_live_as_long_as_the_machine(vx: Vx, tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    with socket.create_server(("127.0.0.1", port)):
        vx.xhyvefile(settings(tmp_path, forward(port, more="auto = false")))
        refused = vx.run("up", status=None)
    assert f"guest port {SSH_PORT} of default, is held by " in refused.stderr
    assert list(VxHome(vx.home).machines.iterdir()) == []  # none was started for that
    vx.run("up")
    layout = layout_of(vx)
    assert greets(port)
    assert re.search(rf"\b{port}\b", vx.run("port").stdout)

    # Both processes killed: the next `vx up` opens the same port.
    kill_forwards(layout)
    until(lambda: is_closed(port), "the port is open")
    vx.run("up")
    assert greets(port)

    # The guest reboots, which is another hypervisor: the same keeper opens the same port.
    keeper, before = tunnel.read_state(layout).keeper, running.find_hypervisor(layout)
    vx.run("ssh", "-c", "sudo reboot", status=None)
    until(lambda: running.find_hypervisor(layout) not in (None, before), "it did not reboot")
    until(lambda: greets(port), "the port is not open again")
    assert tunnel.read_state(layout).keeper == keeper

    # What the Xhyvefile says now waits for a reload; what cannot be is said before that halts it.
    vx.xhyvefile(settings(tmp_path, forward(other)))
    assert "forward changed since it was started" in vx.run("up").stderr
    assert greets(port)
    assert is_closed(other)
    vx.xhyvefile(settings(tmp_path, forward(other, more='proto = "udp"')))
    assert "carries tcp alone" in vx.run("reload", status=None).stderr
    assert greets(port)

    # The supervisor and its hypervisor are gone, and nobody told the keeper.
    left = tunnel.read_state(layout).keeper
    assert left is not None
    for process in (running.find_supervisor(layout), running.find_hypervisor(layout)):
        assert process is not None
        psutil.Process(process.pid).kill()
    until(lambda: not proc.is_alive(left), "it keeps what leads nowhere")
    assert is_closed(port)

    vx.xhyvefile(settings(tmp_path, forward(other)))
    vx.run("up")
    assert greets(other)
    assert is_closed(port)
    ended = tunnel.read_state(layout).keeper
    assert ended is not None
    vx.run("halt")
    assert is_closed(other)
    assert not proc.is_alive(ended)
    vx.run("destroy", "--force")
