"""Steps that go wrong, over a real sshd: floods, cuts, cancels, and what is left afterwards."""

from __future__ import annotations

import os
import shutil
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.leftovers import leftovers
from tests.fakes.sshd import Sshd, Told, sshd_in
from vagrantish.errors import ProvisionError
from vagrantish.events import Cancelled, Output, Progress
from vagrantish.model import FileStep, ShellStep, Step
from vagrantish.provision.base import Tools
from vagrantish.provision.memory import DONE, FAILED, StepMemory
from vagrantish.provision.plan import pending
from vagrantish.provision.runner import run_steps
from vagrantish.ssh.client import Client, connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# One worker: what a step leaves in /tmp is looked for, and no other test's may be found there.
pytestmark = pytest.mark.xdist_group("guest-tmp")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd_in(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def told() -> Told:
    return Told()


class Guest:
    def __init__(self, client: Client, told: Told, folder: Path) -> None:
        self.client = client
        self.told = told
        self.memory = StepMemory.load(folder / "steps.json")

    def run(self, *steps: Step) -> None:
        tools = Tools(fetch=no_fetch, render=render, reboot=self.reboot, context={"who": "world"})
        planned = pending(steps, self.memory, tools=tools)
        run_steps(planned, steps, self.client, tools, memory=self.memory, op=self.told.op)

    def reboot(self) -> Client:
        raise ProvisionError("the guest did not come back")

    @property
    def output(self) -> list[str]:
        return self.told.texts(Output, "line")


def no_fetch(url: str, digest: object) -> bytes:
    raise AssertionError(url)


def render(text: str, context: Mapping[str, Any]) -> str:
    if "{{ nobody }}" in text:
        raise ProvisionError("'nobody' is undefined", hint="define it")
    return text.replace("{{ who }}", str(context["who"]))


@pytest.fixture
def guest(server: Sshd, told: Told, tmp_path: Path) -> Iterator[Guest]:
    with connect(server.target(), op=told.op) as client:
        yield Guest(client, told, tmp_path)


def shell(inline: str, **fields: Any) -> ShellStep:
    return ShellStep(name="step", inline=inline, sudo=False, **fields)


def test_a_flood_of_lines_is_bounded_and_its_end_is_seen(guest: Guest) -> None:
    began = time.monotonic()

    guest.run(shell("yes 'a line' | head -n 2000000; echo the end"))

    seconds = time.monotonic() - began
    assert len(guest.output) <= 402 * (seconds + 2)
    assert any("lines left out" in line for line in guest.output)
    assert guest.output[-1] == "the end"


def test_a_secret_that_is_cut_by_the_line_limit_is_hidden_still(guest: Guest) -> None:
    secret = "s3cr3t-" + "v" * 30
    giver = shell("true", env={"TOKEN": secret}, sensitive=True)
    printer = f"for i in $(seq 400); do printf '%s%s' {'x' * 50} {secret}; done"

    guest.run(giver, replace(shell(printer), name="other"))

    text = "".join(guest.output)
    assert "***" in text
    assert "s3cr" not in text
    assert "vvvv" not in text


def test_a_timeout_says_what_the_script_was_running(guest: Guest) -> None:
    with pytest.raises(ProvisionError, match=r"timeout of 0\.5 s .* while it ran `sleep 3201`"):
        guest.run(shell("true; sleep 3201; true", timeout_s=0.5))

    assert leftovers() == []


def test_what_a_sensitive_script_was_running_is_not_said(guest: Guest) -> None:
    with pytest.raises(ProvisionError) as caught:
        guest.run(shell("sleep 3202; true", timeout_s=0.5, sensitive=True))

    assert "3202" not in caught.value.message


def test_a_cancelled_step_leaves_nothing_and_runs_again(guest: Guest, told: Told) -> None:
    threading.Timer(0.5, told.cancel.set).start()

    with pytest.raises(Cancelled):
        guest.run(shell("sleep 3203"))

    assert guest.memory.status("step") == FAILED
    assert leftovers() == []


def test_a_connection_lost_in_a_step_is_the_steps_failure(guest: Guest, server: Sshd) -> None:
    threading.Timer(0.5, server.cut).start()

    with pytest.raises(ProvisionError, match="step step: the connection") as caught:
        guest.run(shell("sleep 2", retries=5))

    assert "reboot = true" in caught.value.hint
    assert guest.memory.status("step") == FAILED


def test_a_reboot_that_fails_makes_the_step_fail(guest: Guest) -> None:
    with pytest.raises(ProvisionError, match="did not come back"):
        guest.run(shell("true", reboot=True))

    assert guest.memory.status("step") == FAILED


def test_retries_end(guest: Guest, tmp_path: Path) -> None:
    count = tmp_path / "count"

    with pytest.raises(ProvisionError, match="exit status 4"):
        guest.run(shell(f"echo x >>{count}; exit 4", retries=1))

    assert count.read_text() == "x\nx\n"


def test_a_script_killed_for_memory_gets_that_hint(guest: Guest) -> None:
    with pytest.raises(ProvisionError, match="exit status 137") as caught:
        guest.run(shell("kill -9 $$"))

    assert "memory" in caught.value.hint


def test_the_values_are_gone_from_the_guest_before_the_script_starts(guest: Guest) -> None:
    script = 'ls "$(dirname "$0")"; tr "\\0" " " </proc/$PPID/cmdline | grep -c hidden-value'
    with pytest.raises(ProvisionError):  # grep finds nothing
        guest.run(shell(script, env={"V": "hidden-value"}))

    assert guest.output == ["script", "whole", "0"]


def test_a_program_runs_without_an_interpreter(guest: Guest, tmp_path: Path) -> None:
    program = shutil.which("true")
    assert program

    guest.run(ShellStep(name="p", path=tmp_path.__class__(program), sudo=False))

    assert guest.memory.status("p") == DONE


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (b"echo\r\necho\r\n", "Windows line ends"),
        (b"#!/bin/sh\r\n", "Windows line ends"),
        (b"\xef\xbb\xbf#!/bin/sh\n", "byte order mark"),
    ],
)
def test_a_script_an_editor_spoilt_is_refused(
    guest: Guest, tmp_path: Path, script: bytes, why: str
) -> None:
    (tmp_path / "s").write_bytes(script)

    with pytest.raises(ProvisionError, match=why):
        guest.run(ShellStep(name="s", path=tmp_path / "s", sudo=False))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"env": {"A B": "x"}}, "cannot be the name"),
        ({"env": {"A;reboot": "x"}}, "cannot be the name"),
        ({"env": {"A": "x\0"}}, "NUL"),
        ({"args": ("\0",)}, "NUL"),
    ],
)
def test_values_that_no_shell_can_hold_are_refused(
    guest: Guest, fields: dict[str, Any], why: str
) -> None:
    with pytest.raises(ProvisionError, match=why):
        guest.run(shell("true", **fields))

    assert leftovers() == []


def test_a_folder_of_templates_is_filled_in_and_shows_progress(
    guest: Guest, tmp_path: Path
) -> None:
    source = tmp_path / "src"
    (source / "sub").mkdir(parents=True)
    (source / "a").write_text("hello {{ who }}")
    (source / "sub" / "b").write_text("{{ who }}!")

    guest.run(
        FileStep(name="t", source=source, destination=f"{tmp_path}/out", template=True, mode=0o640)
    )

    assert (tmp_path / "out" / "a").read_text() == "hello world"
    assert (tmp_path / "out" / "sub" / "b").read_text() == "world!"
    assert (tmp_path / "out" / "a").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "out" / "sub").stat().st_mode & 0o777 == 0o750
    assert guest.told.texts(Progress, "unit")[-1] == "B"


@pytest.mark.parametrize(
    ("content", "why"), [(b"{{ nobody }}", "'nobody' is undefined"), (b"\xff\xfe", "not UTF-8")]
)
def test_a_template_that_cannot_be_filled_in_names_its_file(
    guest: Guest, tmp_path: Path, content: bytes, why: str
) -> None:
    (tmp_path / "page").write_bytes(content)

    with pytest.raises(ProvisionError, match=why) as caught:
        guest.run(
            FileStep(name="t", source=tmp_path / "page", destination="/tmp/vx-no", template=True)
        )

    assert "page" in caught.value.message


def test_an_owner_the_guest_does_not_have_is_said(guest: Guest, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    step = FileStep(
        name="f", source=tmp_path / "f", destination=f"{tmp_path}/g", owner="nosuchuser"
    )

    # Giving files away takes root, which an ordinary user's sudo may refuse before that.
    with pytest.raises(ProvisionError, match=r"nosuchuser|sudo"):
        guest.run(step)

    assert not (tmp_path / "g").exists()


def test_a_connection_lost_in_a_copy_leaves_nothing(
    guest: Guest, server: Sshd, tmp_path: Path
) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(400_000_000)
    target = tmp_path / "there"
    threading.Timer(0.4, server.cut).start()

    with pytest.raises(ProvisionError, match="connection"):
        guest.run(FileStep(name="f", source=tmp_path / "big", destination=f"{target}/big"))

    deadline = time.monotonic() + 5
    while target.exists() and os.listdir(target) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not target.exists() or os.listdir(target) == []
