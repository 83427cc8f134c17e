"""Which steps are due, and what counts as a change."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vagrantish.errors import ProvisionError, UsageError
from vagrantish.model import FileStep, RunWhen, ShellStep
from vagrantish.provision.base import Remote, Tools
from vagrantish.provision.fingerprint import fingerprint
from vagrantish.provision.masking import Mask
from vagrantish.provision.memory import DONE, FAILED, StepMemory
from vagrantish.provision.plan import check_only, due, pending
from vagrantish.provision.runner import Lines
from vagrantish.provision.shell import interpreter_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def no_fetch(url: str, digest: object) -> bytes:
    raise AssertionError(url)


def no_reboot() -> Remote:
    raise AssertionError


def upper(text: str, context: Mapping[str, Any]) -> str:
    return text.replace("{{ who }}", str(context.get("who")))


TOOLS = Tools(fetch=no_fetch, render=upper, reboot=no_reboot, context={"who": "world"})


@pytest.mark.parametrize(
    ("run", "status", "changed", "named", "force", "reason"),
    [
        (RunWhen.CHANGED, None, True, False, False, "new"),
        (RunWhen.CHANGED, DONE, False, False, False, None),
        (RunWhen.CHANGED, DONE, True, False, False, "changed"),
        (RunWhen.CHANGED, FAILED, False, False, False, "failed before"),
        (RunWhen.CHANGED, DONE, False, False, True, "forced"),
        (RunWhen.CHANGED, DONE, False, True, False, None),
        (RunWhen.ONCE, DONE, True, False, False, None),
        (RunWhen.ONCE, None, True, False, False, "new"),
        (RunWhen.ONCE, FAILED, True, False, False, "failed before"),
        (RunWhen.ALWAYS, DONE, False, False, False, "always"),
        (RunWhen.NEVER, None, True, False, False, None),
        (RunWhen.NEVER, None, True, False, True, None),
        (RunWhen.NEVER, DONE, False, True, False, "asked for"),
    ],
)
def test_a_step_is_due_for_a_reason(
    run: RunWhen, status: str | None, changed: bool, named: bool, force: bool, reason: str | None
) -> None:
    assert due(run, status, changed=changed, named=named, force=force) == reason


SHELL = ShellStep(name="a", inline="echo hi", env={"A": "1"}, args=("x",))


@pytest.mark.parametrize(
    "other",
    [
        replace(SHELL, inline="echo ho"),
        replace(SHELL, env={"A": "2"}),
        replace(SHELL, args=("x", "y")),
        replace(SHELL, sudo=False),
        replace(SHELL, reboot=True),
    ],
)
def test_what_a_script_does_changes_its_fingerprint(other: ShellStep) -> None:
    assert fingerprint(other, TOOLS) != fingerprint(SHELL, TOOLS)


@pytest.mark.parametrize(
    "same",
    [
        replace(SHELL, timeout_s=5.0),
        replace(SHELL, retries=3),
        replace(SHELL, sensitive=True),
        replace(SHELL, name="b"),
        replace(SHELL, run=RunWhen.ONCE),
    ],
)
def test_how_a_script_is_run_does_not(same: ShellStep) -> None:
    assert fingerprint(same, TOOLS) == fingerprint(SHELL, TOOLS)


def test_a_script_file_counts_by_content_not_by_place(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("echo 1")
    (tmp_path / "b.sh").write_text("echo 1")
    a = ShellStep(name="s", path=tmp_path / "a.sh")
    before = fingerprint(a, TOOLS)

    assert fingerprint(replace(a, path=tmp_path / "b.sh"), TOOLS) == before
    (tmp_path / "a.sh").write_text("echo 2")
    assert fingerprint(a, TOOLS) != before


def test_a_tree_counts_by_names_modes_and_content(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    file = tree / "sub" / "f"
    file.write_text("1")
    step = FileStep(name="t", source=tree, destination="/srv/t")
    seen = [fingerprint(step, TOOLS)]

    file.write_text("2")
    seen.append(fingerprint(step, TOOLS))
    file.chmod(0o755)
    seen.append(fingerprint(step, TOOLS))
    file.rename(tree / "sub" / "g")
    seen.append(fingerprint(step, TOOLS))
    (tree / "link").symlink_to("sub/g")
    seen.append(fingerprint(step, TOOLS))
    seen.append(fingerprint(replace(step, owner="root"), TOOLS))

    assert len(set(seen)) == 6


def test_a_template_counts_by_what_it_says(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_text("hello {{ who }}")
    step = FileStep(name="p", source=page, destination="/p", template=True)

    assert fingerprint(step, TOOLS) == fingerprint(step, TOOLS)
    assert fingerprint(step, TOOLS) != fingerprint(step, replace(TOOLS, context={"who": "vx"}))


def test_links_out_of_a_tree_and_special_files_are_refused(tmp_path: Path) -> None:
    for name, make in (
        ("out", lambda p: p.symlink_to("/etc/passwd")),
        ("up", lambda p: p.symlink_to("../../x")),
        ("fifo", os.mkfifo),
    ):
        tree = tmp_path / name
        tree.mkdir()
        make(tree / "it")
        with pytest.raises(ProvisionError, match="it is"):
            fingerprint(FileStep(name="t", source=tree, destination="/t"), TOOLS)


def test_memory_survives_a_round_trip_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "steps.json"
    StepMemory.load(path).record("a", fingerprint="f", status=DONE, seconds=1)

    assert StepMemory.load(path).status("a") == DONE
    assert StepMemory.load(path).fingerprint("a") == "f"
    assert path.stat().st_mode & 0o777 == 0o600
    for damage in ("", "{", "[]", '{"schema":1,"steps":[1]}', '{"schema":1,"steps":{"a":[]}}'):
        path.write_text(damage)
        assert StepMemory.load(path).status("a") is None


def test_only_the_changed_step_is_pending(tmp_path: Path) -> None:
    memory = StepMemory.load(tmp_path / "steps.json")
    steps = [SHELL, replace(SHELL, name="b", inline="echo b")]
    for planned in pending(steps, memory, tools=TOOLS):
        memory.record(planned.step.name, fingerprint=planned.fingerprint, status=DONE, seconds=0)
    assert pending(steps, memory, tools=TOOLS) == ()

    steps[1] = replace(SHELL, name="b", inline="echo c")

    assert [(p.step.name, p.reason) for p in pending(steps, memory, tools=TOOLS)] == [
        ("b", "changed")
    ]
    forced = pending(steps, memory, only=("a",), force=True, tools=TOOLS)
    assert [(p.step.name, p.reason) for p in forced] == [("a", "forced")]


def test_an_unknown_step_name_is_refused_with_a_close_match() -> None:
    with pytest.raises(UsageError, match="no provisioning step modt") as caught:
        check_only(("motd", "web"), ("modt",))

    assert caught.value.hint == "Did you mean motd?"


def test_secrets_are_masked_longest_first_and_short_words_are_not() -> None:
    step = ShellStep(
        name="s", inline="x", sensitive=True, env={"T": "tok", "L": "token-1", "S": "1"}
    )

    assert Mask([step])("a token-1 b tok c 1") == "a *** b *** c 1"
    assert Mask([replace(step, sensitive=False)])("token-1") == "token-1"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (b"echo", ("/bin/sh",)),
        (b"", ("/bin/sh",)),
        (b"#!/bin/bash\necho", ("/bin/bash",)),
        (b"#! /usr/bin/env python3\n", ("/usr/bin/env", "python3")),
        (b"#!/bin/sh -eu\n", ("/bin/sh", "-eu")),
        (b"#!/bin/sh", ("/bin/sh",)),
    ],
)
def test_the_first_line_names_the_interpreter(script: bytes, words: tuple[str, ...]) -> None:
    assert interpreter_of(script, "s") == words


def test_windows_line_ends_are_named_as_the_cause() -> None:
    with pytest.raises(ProvisionError, match="Windows line ends"):
        interpreter_of(b"#!/bin/sh\r\necho\r\n", "s")


def test_chunks_become_lines_and_an_endless_line_comes_in_pieces() -> None:
    got: list[bytes] = []
    lines = Lines(got.append)
    for chunk in (b"on", b"e\ntwo\n\nth", b"x" * 9000):
        lines(chunk)
    lines.end()

    assert got[:3] == [b"one", b"two", b""]
    assert b"".join(got[3:]) == b"th" + b"x" * 9000
    assert max(map(len, got)) <= 4096
