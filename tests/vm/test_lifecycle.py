"""The main job on a real guest: up, ssh, provision, status, halt, destroy."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Vx

pytestmark = pytest.mark.vm

MICRO = 'box = "micro"\n[qemu]\naccel = "tcg"\n'
PATIENCE_S = 120


def machine(vx: Vx, name: str = "default") -> dict[str, Any]:
    answer = json.loads(vx.run("status", "--json").stdout)
    found: dict[str, Any] = next(m for m in answer["machines"] if m["name"] == name)
    return found


def guests_of(vx: Vx) -> list[int]:
    """Pids of the hypervisors that run for this home, whatever vx thinks."""
    home = f"{vx.home}/"
    return [
        p.pid
        for p in psutil.process_iter(["cmdline"])
        if any(word.startswith(home) for word in p.info["cmdline"] or ())
        and "qemu-system" in p.info["cmdline"][0]
    ]


def wait_for(text: str, vx: Vx) -> None:
    """Until some machine's console holds ``text``."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for log in vx.home.glob("machines/*/console.log"):
            if text in log.read_text(errors="replace"):
                return
        time.sleep(0.05)
    pytest.fail(f"the console never said {text!r}")


def test_a_machine_goes_from_nothing_to_ssh_and_back_to_nothing(vx: Vx) -> None:
    vx.xhyvefile(MICRO + '[halt]\ntimeout = "90s"\n')
    assert machine(vx)["state"] == "not created"

    vx.run("up")
    up = machine(vx)
    assert up["state"] == "running"
    assert psutil.pid_exists(up["pid"])
    who = vx.run("ssh", "-c", "id -un; sudo -n id -un; hostname")
    assert who.stdout.split() == ["vx", "root", "default"]
    assert vx.run("ssh", "-c", "exit 42", status=42).stdout == ""

    again = vx.run("up")
    assert "nothing to do" in again.stderr
    assert machine(vx)["pid"] == up["pid"]

    vx.run("halt")
    assert machine(vx)["state"] == "halted"
    assert guests_of(vx) == []
    vx.run("halt")

    vx.run("up")
    later = machine(vx)
    assert later["id"] == up["id"]
    assert later["ssh"] == up["ssh"]  # the port is kept
    assert vx.run("ssh", "-c", "echo back").stdout == "back\n"

    vx.run("destroy", "--yes")
    assert machine(vx)["state"] == "not created"
    assert guests_of(vx) == []
    assert list((vx.home / "machines").iterdir()) == []
    vx.run("destroy", "--yes")


def test_three_machines_come_up_together_and_each_knows_its_name(vx: Vx) -> None:
    vx.xhyvefile(
        MICRO
        + "[machines.db]\n[machines.web]\ncount = 2\nneeds = ['db']\n"
        + "[[machines.web.provision]]\n"
        + "inline = 'echo {{ machine.name }} {{ machine.index }} > /tmp/name'\n"
    )

    vx.run("up", "--jobs", "3")

    states = {
        m["name"]: m["state"] for m in json.loads(vx.run("status", "--json").stdout)["machines"]
    }
    assert states == {"db": "running", "web-1": "running", "web-2": "running"}
    for index in (1, 2):
        said = vx.run("ssh", f"web-{index}", "-c", "cat /tmp/name; hostname").stdout.split()
        assert said == [f"web-{index}", str(index), f"web-{index}"]
    vx.run("destroy", "--yes", "web-*")
    assert len(guests_of(vx)) == 1


def test_provisioning_runs_once_then_only_what_changed(vx: Vx) -> None:
    (vx.folder / "page.txt").write_text("hello {{ params.who }}\n")
    text = (
        MICRO
        + '[params]\nwho = "world"\n'
        + '[[provision]]\nname = "count"\ninline = "echo run >> /tmp/runs"\n'
        + '[[provision]]\nname = "page"\ntype = "file"\nsource = "page.txt"\n'
        + 'destination = "/srv/page.txt"\nowner = "root"\nmode = "0640"\ntemplate = true\n'
        + '[[provision]]\nname = "each"\nrun = "always"\ninline = "echo each >> /tmp/each"\n'
    )
    vx.xhyvefile(text)
    vx.run("up")
    look = "cat /tmp/runs; wc -l < /tmp/each; sudo cat /srv/page.txt; sudo stat -c '%U %a' /srv/page.txt"
    assert vx.run("ssh", "-c", look).stdout.split() == ["run", "1", "hello", "world", "root", "640"]

    vx.run("up")
    assert vx.run("ssh", "-c", look).stdout.split() == ["run", "2", "hello", "world", "root", "640"]

    vx.xhyvefile(text.replace('who = "world"', 'who = "vx"'))
    vx.run("provision")
    assert vx.run("ssh", "-c", look).stdout.split() == ["run", "3", "hello", "vx", "root", "640"]

    vx.run("provision", "--only", "count", "--force")
    assert vx.run("ssh", "-c", "wc -l < /tmp/runs; wc -l < /tmp/each").stdout.split() == ["2", "3"]


def test_a_failing_step_ends_up_with_its_output_and_is_tried_again(vx: Vx) -> None:
    step = '[[provision]]\nname = "flaky"\ninline = "echo trying; test -e /tmp/go"\n'
    vx.xhyvefile(MICRO + step)

    failed = vx.run("up", status=8)
    assert "flaky" in failed.stderr
    assert "trying" in failed.stderr

    vx.run("ssh", "-c", "touch /tmp/go")
    vx.run("up")
    assert "nothing to do" in vx.run("up").stderr


def test_a_panicking_guest_ends_the_wait_with_its_reason(vx: Vx) -> None:
    vx.xhyvefile(
        MICRO + '[boot]\ncmdline = "rdinit=/nowhere root=/dev/nothing"\ntimeout = "280s"\n'
    )
    began = time.monotonic()

    failed = vx.run("up", status=7)

    assert "panic" in failed.stderr.lower()
    assert "VFS: Unable to mount root fs" in failed.stderr
    assert time.monotonic() - began < 200  # not the timeout
    assert guests_of(vx) == []
    assert machine(vx)["state"] == "halted"
    vx.xhyvefile(MICRO)
    vx.run("up")


def test_up_goes_on_after_vx_was_killed_during_the_boot(vx: Vx) -> None:
    vx.xhyvefile(MICRO)
    with vx.start("up") as child:
        wait_for("Linux version", vx)
        child.kill()
    [guest] = guests_of(vx)
    assert machine(vx)["state"] == "booting"

    vx.run("up")

    up = machine(vx)
    assert (up["state"], up["pid"]) == ("running", guest)
    assert vx.run("ssh", "-c", "echo alive").stdout == "alive\n"


def test_up_starts_again_after_the_hypervisor_was_killed(vx: Vx) -> None:
    vx.xhyvefile(MICRO)
    vx.run("up")
    before = machine(vx)
    os.kill(before["pid"], signal.SIGKILL)

    deadline = time.monotonic() + PATIENCE_S
    while machine(vx)["state"] != "halted":
        assert time.monotonic() < deadline
    vx.run("ssh", "-c", "true", status=6)
    folder = vx.home / "machines" / before["id"]
    for name in (".initrd.0123abcd.tmp", ".machine.json.0123abcd.tmp", ".steps.json.0123abcd.tmp"):
        (folder / name).write_text("left by a vx that was killed")
    vx.run("up")

    assert list(folder.glob("*.tmp")) == []
    after = machine(vx)
    assert after["state"] == "running"
    assert after["pid"] != before["pid"]


def test_a_machine_that_stops_during_a_step_is_named_as_the_cause(vx: Vx) -> None:
    vx.xhyvefile(
        MICRO + '[[provision]]\nname = "long"\ninline = "echo > /dev/console begun; sleep 100"\n'
    )
    with vx.start("up") as child:
        wait_for("begun", vx)
        os.kill(machine(vx)["pid"], signal.SIGKILL)
        _, said = child.communicate(timeout=PATIENCE_S)

    assert child.returncode == 8
    assert "machine default stopped while it was provisioned" in said
    assert machine(vx)["state"] == "halted"


def test_ctrl_c_during_the_boot_leaves_no_guest_and_a_machine_that_comes_up(vx: Vx) -> None:
    vx.xhyvefile(MICRO)
    with vx.start("up") as child:
        wait_for("Linux version", vx)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=PATIENCE_S)

    assert child.returncode == 130
    assert "Traceback" not in said
    assert guests_of(vx) == []
    assert machine(vx)["state"] == "halted"
    vx.run("up")


def test_two_ups_at_once_end_with_one_running_guest(vx: Vx) -> None:
    vx.xhyvefile(MICRO)
    first, second = vx.start("up"), vx.start("up")

    said = [child.communicate(timeout=PATIENCE_S)[1] for child in (first, second)]

    assert [first.returncode, second.returncode] == [0, 0], said
    assert len(guests_of(vx)) == 1
    assert any("Waiting for" in text for text in said)


def test_a_moved_project_finds_its_machine_and_a_copy_does_not(vx: Vx) -> None:
    vx.xhyvefile(MICRO)
    vx.run("up")
    moved = vx.folder.rename(vx.folder.with_name("moved"))

    answer = json.loads(vx.run("status", "--json", cwd=moved).stdout)
    assert [m["state"] for m in answer["machines"]] == ["running"]
    vx.run("up", cwd=moved)
    subprocess.run(["cp", "-a", moved, vx.folder], check=True)
    copied = json.loads(vx.run("status", "--json", cwd=vx.folder).stdout)
    assert [m["state"] for m in copied["machines"]] == ["not created"]
    vx.run("destroy", "--yes", cwd=moved)


def test_a_disk_keeps_what_was_written_over_a_halt(vx: Vx) -> None:
    vx.xhyvefile(
        'box = "micro"\ndisk = "256MiB"\n[qemu]\naccel = "tcg"\n'
        '[[provision]]\nname = "once"\ninline = "echo x >> /home/vx/runs"\n'
    )
    vx.run("up")
    vx.run("ssh", "-c", "echo kept > ~/note; sync")
    vx.run("reload")

    assert vx.run("ssh", "-c", "cat ~/note; wc -l < ~/runs").stdout.split() == ["kept", "1"]

    text = (vx.folder / "Xhyvefile").read_text()
    vx.xhyvefile(text.replace("256MiB", "512MiB"))
    assert "256MiB" in vx.run("reload", status=6).stderr
    assert machine(vx)["state"] == "running"  # it would not have come up again

    vx.xhyvefile(text.replace('disk = "256MiB"', ""))
    assert "unused" in vx.run("reload").stderr
    vx.xhyvefile(text)
    vx.run("reload")
    assert vx.run("ssh", "-c", "cat ~/note; wc -l < ~/runs").stdout.split() == ["kept", "2"]


def test_the_up_that_builds_the_box_already_takes_its_defaults(vx: Vx, micro_store: Path) -> None:
    for part in ("boxes", "artifacts"):
        shutil.rmtree(vx.home / part)
    shutil.copytree(micro_store / "downloads", vx.home / "downloads")
    vx.xhyvefile(MICRO)

    vx.run("up")

    argv = json.loads(vx.run("argv", "--json").stdout)["argv"]
    assert "changed" not in vx.run("up").stderr
    assert argv[argv.index("-m") + 1] == "256M"


def test_a_running_machine_tells_what_waits_for_a_reload(vx: Vx) -> None:
    vx.xhyvefile(MICRO)
    vx.run("up")

    vx.xhyvefile('memory = "300MiB"\n' + MICRO)
    assert "memory changed since it was started: `vx reload default`" in vx.run("up").stderr
    vx.run("reload")

    assert "changed" not in vx.run("up").stderr
    argv = json.loads(vx.run("argv", "--json").stdout)["argv"]
    assert argv[argv.index("-m") + 1] == "300M"


def test_a_disk_that_is_added_later_is_provisioned_like_a_new_machine(vx: Vx) -> None:
    text = MICRO + '[[provision]]\nname = "once"\ninline = "echo x >> /home/vx/runs"\n'
    vx.xhyvefile(text)
    vx.run("up")
    vx.xhyvefile('disk = "64MiB"\n' + text)

    vx.run("reload")

    assert vx.run("ssh", "-c", "cat ~/runs").stdout == "x\n"
