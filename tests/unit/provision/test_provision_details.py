"""Which files a plan reads, how lines are rationed, and what damaged memory says."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.sshd import Told
from vagrantish.errors import ProvisionError
from vagrantish.events import Note
from vagrantish.model import FileStep, RunWhen, ShellStep
from vagrantish.provision.base import Remote, Tools
from vagrantish.provision.fingerprint import fingerprint
from vagrantish.provision.masking import Mask
from vagrantish.provision.memory import DONE, StepMemory
from vagrantish.provision.plan import pending
from vagrantish.provision.runner import Lines, Rate

if TYPE_CHECKING:
    from collections.abc import Mapping


def fetch(url: str, digest: object) -> bytes:
    raise AssertionError(url)


def reboot() -> Remote:
    raise AssertionError


def render(text: str, context: Mapping[str, Any]) -> str:
    return text


TOOLS = Tools(fetch=fetch, render=render, reboot=reboot)


def test_a_step_that_would_not_run_owes_nobody_its_files(tmp_path: Path) -> None:
    memory = StepMemory.load(tmp_path / "steps.json")
    memory.record("once", fingerprint="f", status=DONE, seconds=0)
    gone = ShellStep(name="never", path=tmp_path / "gone", run=RunWhen.NEVER)

    assert pending([gone, replace(gone, name="once", run=RunWhen.ONCE)], memory, tools=TOOLS) == ()
    with pytest.raises(ProvisionError, match="gone"):
        pending([gone], memory, only=("never",), tools=TOOLS)


def test_a_new_name_counts_where_the_destination_takes_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("same")
    into = FileStep(name="f", source=tmp_path / "a", destination="/srv/")
    exact = replace(into, destination="/srv/f")

    assert fingerprint(into, TOOLS) != fingerprint(replace(into, source=tmp_path / "b"), TOOLS)
    assert fingerprint(exact, TOOLS) == fingerprint(replace(exact, source=tmp_path / "b"), TOOLS)


def test_damaged_memory_is_said_and_missing_memory_is_not(tmp_path: Path) -> None:
    told = Told()

    StepMemory.load(tmp_path / "missing", op=told.op)
    (tmp_path / "damaged").write_text("{")
    StepMemory.load(tmp_path / "damaged", op=told.op)

    assert [text for text in told.texts(Note, "text") if "missing" in text] == []
    assert "damaged" in told.texts(Note, "text")[0]


def test_more_lines_than_can_be_shown_are_counted_and_the_last_is_shown() -> None:
    shown: list[str] = []
    now = [100.0]
    rate = Rate(shown.append, clock=lambda: now[0])

    for number in range(1000):
        rate(str(number))
    now[0] = 101.5
    rate("next second")
    rate.end()

    assert shown[:400] == [str(number) for number in range(400)]
    assert shown[400:] == [
        "[599 lines left out: more than can be shown]",
        "999",
        "next second",
    ]


@pytest.mark.parametrize("size", [1, 7, 4096, 5000, 100_000])
def test_a_secret_is_hidden_however_the_stream_is_cut(size: int) -> None:
    secret = "secret-" + "v" * 40
    step = ShellStep(name="s", inline="x", sensitive=True, env={"T": secret})
    stream = (b"x" * 37 + secret.encode()) * 300
    pieces: list[bytes] = []
    lines = Lines(pieces.append, Mask([step]))

    for start in range(0, len(stream), size):
        lines(stream[start : start + size])
    lines.end()

    assert b"".join(pieces) == (b"x" * 37 + b"***") * 300
    assert max(map(len, pieces)) <= 4096


def test_planning_loads_nothing_heavy() -> None:
    code = (
        "import sys; import vagrantish.provision.plan, vagrantish.provision.memory;"
        "print(sorted({'paramiko', 'requests', 'jinja2', 'cryptography'} & set(sys.modules)))"
    )

    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
    )

    assert found.stdout.strip() == "[]", found.stderr
