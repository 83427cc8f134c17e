"""The main job under xhyve's stand-in, with a real guest: what a user of a Mac does in a day."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.guest import MISSING
from tests.fakes.hyve.install import install

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Vx

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(MISSING is not None, reason=f"needs {MISSING}"),
]

SSH_PORT = 22 if os.geteuid() == 0 else 20022
PATIENCE_S = 90
STEPS = """
[[provision]]
name = "page"
type = "file"
source = "page.txt"
destination = "/srv/page.txt"
[[provision]]
name = "once"
run = "once"
inline = "echo once >> /srv/once"
[[provision]]
name = "again"
inline = "echo again >> /srv/again"
reboot = true
"""


def settings(folder: Path) -> str:
    program = install(
        folder / "bin",
        settings={
            "FAKE_XHYVE_STATE": str(folder / "state"),
            "FAKE_XHYVE_ROOT": "1",
            "FAKE_XHYVE_SSH_PORT": str(SSH_PORT),
        },
    )
    return (
        'box = "micro"\nprovider = "xhyve"\ndisk = "256MiB"\n'
        f"[ssh]\nguest_port = {SSH_PORT}\n"
        f'[xhyve]\nbinary = "{program}"\nleases = "{folder}/state/dhcpd_leases"\n'
    )


def machine(vx: Vx) -> dict[str, Any]:
    (found,) = json.loads(vx.run("status", "--json").stdout)["machines"]
    assert isinstance(found, dict)
    return found


def in_guest(vx: Vx, command: str) -> str:
    return vx.run("ssh", "-c", command).stdout.strip()


def test_a_machine_lives_a_whole_life(vx: Vx, tmp_path: Path) -> None:
    vx.xhyvefile(settings(tmp_path) + STEPS)
    (vx.folder / "page.txt").write_text("hello\n")

    vx.run("up")  # the step that reboots makes the hypervisor end, and its supervisor start it anew
    assert machine(vx)["state"] == "running"
    assert machine(vx)["provider"] == "xhyve"
    assert in_guest(vx, "cat /srv/page.txt /srv/once /srv/again") == "hello\nonce\nagain"

    (vx.folder / "sent").write_text("sent")
    vx.run("cp", "sent", ":/home/vx/sent")
    vx.run("cp", ":/home/vx/sent", "back")
    assert (vx.folder / "back").read_text() == "sent"

    vx.run("reload")
    assert in_guest(vx, "cat /srv/once; cat /home/vx/sent; mount | grep -c '^/dev/vda on / '") == (
        "once\nsent1"
    ), "the root disk is the guest's own, and kept"
    vx.run("provision", "--only", "page", "--force")
    assert json.loads(vx.run("explain", "--json").stdout)["healthy"]

    vx.run("halt")
    assert machine(vx)["state"] == "halted"
    assert json.loads(vx.run("explain", "--json").stdout)["healthy"]
    vx.run("destroy", "--yes")
    assert machine(vx)["state"] == "not created"
    owned = {path.stat(follow_symlinks=False).st_uid for path in vx.home.rglob("*")}
    assert owned == {os.getuid()}


def test_a_killed_hypervisor_is_told_and_up_starts_it_again(vx: Vx, tmp_path: Path) -> None:
    vx.xhyvefile(settings(tmp_path))
    vx.run("up")
    os.kill(machine(vx)["pid"], 9)
    deadline = time.monotonic() + PATIENCE_S
    while machine(vx)["state"] != "halted":
        assert time.monotonic() < deadline
        time.sleep(0.1)

    told = json.loads(vx.run("explain", "--json").stdout)
    assert told["ending"]["kind"] == "killed"

    vx.run("up")
    assert machine(vx)["state"] == "running"
