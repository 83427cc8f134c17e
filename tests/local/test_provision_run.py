"""Steps run over a real sshd: output, failures, time limits, secrets, files."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.fakes.leftovers import leftovers
from tests.fakes.sshd import Sshd, Told, sshd_in
from vagrantish.errors import ProvisionError
from vagrantish.events import Note, Output
from vagrantish.model import FileStep, ShellStep, Step
from vagrantish.provision.base import StepOutcome, Tools
from vagrantish.provision.memory import DONE, FAILED, StepMemory
from vagrantish.provision.plan import pending
from vagrantish.provision.runner import run_steps
from vagrantish.ssh.client import Client, connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# One worker: what a step leaves in /tmp is looked for, and no other test's may be found there.
pytestmark = pytest.mark.xdist_group("guest-tmp")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd_in(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def told() -> Told:
    return Told()


class Guest:
    """Runs steps over one connection with a memory of its own."""

    def __init__(self, client: Client, told: Told, folder: Path) -> None:
        self.client = client
        self.told = told
        self.memory = StepMemory.load(folder / "steps.json")
        self.scripts: dict[str, bytes] = {}
        self.reboots = 0

    def run(self, *steps: Step, force: bool = False) -> tuple[StepOutcome, ...]:
        tools = Tools(
            fetch=lambda url, digest: self.scripts[url],
            render=render,
            reboot=self.reboot,
            context={"who": "world"},
        )
        planned = pending(steps, self.memory, force=force, tools=tools)
        return run_steps(planned, steps, self.client, tools, memory=self.memory, op=self.told.op)

    def reboot(self) -> Client:
        self.reboots += 1
        return self.client

    @property
    def output(self) -> list[str]:
        return self.told.texts(Output, "line")


def render(text: str, context: Mapping[str, Any]) -> str:
    return text.replace("{{ who }}", str(context["who"]))


@pytest.fixture
def guest(server: Sshd, told: Told, tmp_path: Path) -> Iterator[Guest]:
    with connect(server.target(), op=told.op) as client:
        yield Guest(client, told, tmp_path)


def shell(inline: str, **fields: Any) -> ShellStep:
    return ShellStep(name="step", inline=inline, sudo=False, **fields)


def test_a_script_gets_its_arguments_environment_and_no_input(guest: Guest) -> None:
    value = 'it\'s "$HOME" `x`\nnext'

    guest.run(
        shell(
            'echo "$1|$2"; printf "%s\\n" "$V"; cat; echo end', args=("a b", "-n"), env={"V": value}
        )
    )

    assert guest.output == ["a b|-n", 'it\'s "$HOME" `x`', "next", "end"]
    assert leftovers() == []


def test_a_script_makes_files_as_public_as_a_login_shell_would(guest: Guest) -> None:
    login = guest.client.exec("umask", op=guest.told.op).stdout.decode().split()

    guest.run(shell("umask"))

    assert guest.output == login != ["0077"]


def test_a_shebang_is_honoured(guest: Guest) -> None:
    guest.run(shell("#!/usr/bin/env python3\nprint(6 * 7)\n"))

    assert guest.output == ["42"]


def test_a_step_runs_once_and_again_when_forced(guest: Guest) -> None:
    assert [o.status for o in guest.run(shell("echo x"))] == ["done"]
    assert guest.run(shell("echo x")) == ()
    assert len(guest.run(shell("echo x"), force=True)) == 1


def test_a_failing_script_says_its_status_and_last_lines_and_is_remembered(guest: Guest) -> None:
    with pytest.raises(ProvisionError, match="exit status 3") as caught:
        guest.run(shell("for i in $(seq 50); do echo line $i; done; exit 3"))

    assert "line 50" in caught.value.message
    assert "line 5\n" not in caught.value.message
    assert guest.memory.status("step") == FAILED
    assert leftovers() == []


def test_later_steps_do_not_run_after_a_failure(guest: Guest) -> None:
    with pytest.raises(ProvisionError):
        guest.run(shell("false"), replace(shell("echo later"), name="later"))

    assert guest.output == []
    assert guest.memory.status("later") is None


def test_a_step_is_tried_again_until_it_works(guest: Guest, tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    [outcome] = guest.run(shell(f"test -e {flag} || {{ touch {flag}; exit 1; }}", retries=2))

    assert (outcome.status, outcome.attempts) == ("done", 2)
    assert "trying again" in guest.told.texts(Note, "text")[0]


def test_a_script_that_hangs_is_ended_with_all_it_started(guest: Guest) -> None:
    marker = f"4{time.time_ns() % 10**8}"

    with pytest.raises(ProvisionError, match="longer than its timeout") as caught:
        guest.run(shell(f"echo waiting; sleep {marker} & sleep {marker}", timeout_s=1.0))

    assert "waiting" in caught.value.message
    running = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"])]
    assert not any(marker in (words or []) for words in running)
    assert leftovers() == []


def test_binary_and_endless_output_becomes_harmless_lines(guest: Guest) -> None:
    guest.run(shell(r"printf '\033[31mred\033[0m\007\377\n'; head -c 3000000 /dev/zero; echo end"))

    assert guest.output[0].startswith("red")
    assert all(line.isprintable() or not line for line in guest.output)
    assert guest.output[-1].endswith("end")
    assert max(map(len, guest.output)) <= 4096


def test_a_sensitive_step_shows_nothing_of_itself_anywhere(guest: Guest, tmp_path: Path) -> None:
    secret = "s3cr3t-value"
    step = shell("echo $TOKEN inline-secret; exit 1", env={"TOKEN": secret}, sensitive=True)

    with pytest.raises(ProvisionError) as caught:
        guest.run(step)

    seen = repr(guest.told.recorder.events) + caught.value.message + caught.value.hint
    seen += (tmp_path / "steps.json").read_text()
    assert secret not in seen
    assert "inline-secret" not in seen


def test_another_step_that_prints_a_secret_prints_a_mask(guest: Guest) -> None:
    secret = shell("true", env={"TOKEN": "s3cr3t-value"}, sensitive=True)

    guest.run(secret, replace(shell("echo it is s3cr3t-value"), name="other"))

    assert guest.output == ["it is ***"]


def test_a_fetched_script_runs_and_a_reboot_follows(guest: Guest) -> None:
    guest.scripts["http://x/s"] = b"echo fetched"
    from vagrantish.model import Digest

    step = ShellStep(
        name="u",
        url="http://x/s",
        digest=Digest(algorithm="sha256", hex="0" * 64),
        sudo=False,
        reboot=True,
    )
    guest.run(step)

    assert guest.output == ["fetched"]
    assert guest.reboots == 1
    assert guest.memory.status("u") == DONE


def test_a_file_arrives_with_its_mode_and_missing_folders_are_made(
    guest: Guest, tmp_path: Path
) -> None:
    source = tmp_path / "page's.txt"
    source.write_bytes(bytes(range(256)) * 10)
    target = tmp_path / "new dir" / "deep" / "it's -here"

    guest.run(FileStep(name="f", source=source, destination=str(target), mode=0o640))

    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o640
    assert list(target.parent.iterdir()) == [target]


def test_a_template_is_filled_in(guest: Guest, tmp_path: Path) -> None:
    source = tmp_path / "t"
    source.write_text("hello {{ who }}\n")

    guest.run(FileStep(name="f", source=source, destination=f"{tmp_path}/out/", template=True))

    assert (tmp_path / "out" / "t").read_text() == "hello world\n"


def test_a_tree_is_merged_and_what_was_there_keeps_its_owner_and_mode(
    guest: Guest, tmp_path: Path
) -> None:
    source = tmp_path / "src"
    (source / "conf").mkdir(parents=True)
    (source / "conf" / "a").write_text("new")
    (source / "conf" / "b").write_text("b")
    (source / "link").symlink_to("conf/a")
    target = tmp_path / "dst"
    (target / "conf").mkdir(parents=True)
    (target / "conf").chmod(0o711)
    (target / "conf" / "kept").write_text("kept")
    (target / "conf" / "a").write_text("old")

    guest.run(FileStep(name="t", source=source, destination=str(target)))

    assert sorted(p.name for p in (target / "conf").iterdir()) == ["a", "b", "kept"]
    assert (target / "conf" / "a").read_text() == "new"
    assert (target / "link").readlink().as_posix() == "conf/a"
    assert (target / "conf").stat().st_mode & 0o777 == 0o711
    assert not [p for p in target.iterdir() if p.name.startswith(".vx")]


def test_a_destination_that_cannot_be_written_says_why(guest: Guest, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    step = FileStep(name="f", source=tmp_path / "file", destination=f"{tmp_path}/file/below")

    with pytest.raises(ProvisionError, match="could not be put at"):
        guest.run(step)

    assert guest.memory.status("f") == FAILED
