"""Waiting for a guest's cloud-init: a folder stands for the guest's files, a private sshd for ssh."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.sshd import Sshd, Told
from vagrantish.errors import BootError, ConfigError, HostError, SSHError
from vagrantish.events import Cancelled, Note, Progress
from vagrantish.lifecycle.cloudinit import Outcome, State, read_user_data, wait_done
from vagrantish.model import CloudInitConfig
from vagrantish.resources import templates_dir
from vagrantish.ssh.client import Client, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = b"#cloud-config\nruncmd: [false]\n"
FAILED = "('scripts_user', RuntimeError('Runparts: 1 failures'))"


class Guest:
    """The files of a guest, and programs that go before its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run = root / "run/cloud-init"
        self.programs = root / "programs"
        for folder in (self.run, self.programs, root / "var/log", root / "etc/cloud"):
            folder.mkdir(parents=True)
        self.program("sudo", "exit 1")
        self.program("systemctl", "echo starting; exit 1")
        self.program("cloud-init", "exit 0")

    def program(self, name: str, script: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def status(self, stage: str | None, **stages: Any) -> None:
        told = {"v1": {"datasource": "x", "stage": stage, **stages}}
        (self.run / "status.json").write_text(json.dumps(told, indent=1))

    def finish(self, *errors: str) -> None:
        self.status(None, **{"modules-final": {"errors": list(errors)}})
        (self.run / "result.json").write_text("{}")


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return Guest(tmp_path / "guest")


@pytest.fixture
def server(guest: Guest, tmp_path: Path) -> Iterator[Sshd]:
    server = Sshd(tmp_path / "sshd")
    server.start(extra=f"SetEnv PATH={guest.programs}:/usr/bin:/bin")
    yield server
    server.stop()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def client(server: Sshd, told: Told) -> Iterator[Client]:
    with connect(server.target(), op=told.op) as client:
        yield client


def wait(
    guest: Guest, client: Client, told: Told, data: bytes = b"", timeout_s: float = 20
) -> Outcome:
    return wait_done(client, user_data=data, timeout_s=timeout_s, root=str(guest.root), op=told.op)


def test_it_ends_once_there_is_a_result_and_tells_the_stages(
    guest: Guest, client: Client, told: Told
) -> None:
    guest.status("modules-config")
    threading.Timer(0.6, lambda: guest.status("modules-final")).start()
    threading.Timer(1.2, guest.finish).start()

    outcome = wait(guest, client, told)

    assert outcome == Outcome(State.DONE)
    assert told.texts(Progress, "unit") == ["modules-config", "modules-final"]
    assert told.texts(Note, "text") == []


def test_an_error_before_the_last_stage_does_not_end_the_wait(
    guest: Guest, client: Client, told: Told
) -> None:
    guest.status("modules-final", **{"modules-config": {"errors": [FAILED]}})
    threading.Timer(0.6, guest.finish).start()

    assert wait(guest, client, told).state is State.DONE


def test_an_error_without_data_of_the_users_own_is_a_warning(
    guest: Guest, client: Client, told: Told
) -> None:
    guest.finish(FAILED)

    outcome = wait(guest, client, told)

    assert outcome == Outcome(State.DEGRADED, ("scripts_user: Runparts: 1 failures",))
    [note] = told.texts(Note, "text")
    assert "scripts_user: Runparts: 1 failures" in note


def test_an_error_of_the_users_own_data_ends_the_boot(
    guest: Guest, client: Client, told: Told
) -> None:
    guest.finish(FAILED)

    with pytest.raises(BootError, match="scripts_user: Runparts: 1 failures") as caught:
        wait(guest, client, told, DATA)

    assert caught.value.exit_status == 7
    assert "cloud-init-output.log" in caught.value.hint


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("2026 - util.py[WARNING]: Failed loading yaml blob. x\n", True),
        ("2026 - cloud_config.py[WARNING]: Failed at merging in cloud config part from x\n", True),
        ("2026 - __init__.py[WARNING]: Unhandled non-multipart (text/x) userdata: 'x'\n", True),
        ("2026 - util.py[DEBUG]: Failed loading yaml blob\n", False),
        # of an earlier boot
        ("WARNING Failed loading yaml\nCloud-init v. 22.4.2 running 'init-local' at x\n", False),
    ],
)
def test_data_that_were_passed_over_end_the_boot(
    guest: Guest, client: Client, told: Told, entry: str, *, found: bool
) -> None:
    (guest.root / "var/log/cloud-init.log").write_text(f"something\n{entry}more\n")
    guest.finish()

    if found:
        with pytest.raises(BootError, match=r"Failed|Unhandled"):
            wait(guest, client, told, DATA)
    else:
        assert wait(guest, client, told, DATA).state is State.DONE


@pytest.mark.parametrize("file", ["run/cloud-init/disabled", "etc/cloud/cloud-init.disabled"])
def test_one_that_is_switched_off_is_not_waited_for(
    guest: Guest, client: Client, told: Told, file: str
) -> None:
    (guest.root / file).touch()

    assert wait(guest, client, told, DATA).state is State.DISABLED

    [note] = told.texts(Note, "text")
    assert note == "cloud-init is switched off in this guest: `cloud_init` had no effect"


def test_a_guest_without_it_is_ready(guest: Guest, client: Client, told: Told) -> None:
    (guest.programs / "cloud-init").unlink()
    guest.run.rmdir()

    assert wait(guest, client, told).state is State.MISSING


@pytest.mark.parametrize(("status", "state"), [(2, State.DEGRADED), (1, State.DEGRADED)])
def test_one_that_died_is_noticed_when_systemd_has_nothing_left_to_do(
    guest: Guest, client: Client, told: Told, status: int, state: State
) -> None:
    guest.status("init")
    guest.program("systemctl", "echo degraded; exit 1")
    guest.program("cloud-init", f"exit {status}")

    assert wait(guest, client, told).state is state


def test_one_that_takes_too_long_ends_the_boot_and_names_its_stage(
    guest: Guest, client: Client, told: Told
) -> None:
    guest.status("modules-final")

    with pytest.raises(
        BootError, match=r"did not finish within 1.0 s \(.*modules-final\)"
    ) as caught:
        wait(guest, client, told, timeout_s=1)

    assert "boot.timeout" in caught.value.hint


def test_a_connection_that_breaks_ends_the_wait(
    guest: Guest, client: Client, server: Sshd, told: Told
) -> None:
    threading.Timer(0.5, server.cut).start()
    began = time.monotonic()

    with pytest.raises(SSHError):
        wait(guest, client, told)

    assert time.monotonic() - began < 10


def test_the_user_may_stop_it(guest: Guest, client: Client, told: Told) -> None:
    threading.Timer(0.4, told.cancel.set).start()

    with pytest.raises(Cancelled):
        wait(guest, client, told)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_shellcheck_has_nothing_to_say_about_the_waiting_script() -> None:
    script = templates_dir() / "seed" / "cloud-init-wait.sh"

    done = subprocess.run(["shellcheck", "-s", "sh", script], capture_output=True, text=True)

    assert done.stdout == ""


# --- the user's own data -----------------------------------------------------------------------


def test_the_users_data_are_read_from_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(DATA)

    assert read_user_data(CloudInitConfig()) == b""
    assert read_user_data(CloudInitConfig(user_data="#!/bin/sh\n# ä")) == "#!/bin/sh\n# ä".encode()
    assert read_user_data(CloudInitConfig(path=path)) == DATA


def test_a_file_that_changed_for_the_worse_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"oops")

    with pytest.raises(ConfigError, match="must begin with"):
        read_user_data(CloudInitConfig(path=path))
    path.unlink()
    with pytest.raises(HostError, match="cannot read"):
        read_user_data(CloudInitConfig(path=path))
