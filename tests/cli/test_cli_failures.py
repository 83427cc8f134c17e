"""How failures are told, and with which exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from vagrantish.cli.failures import BUG_LOG_MAX, Style, report
from vagrantish.cli.output import AnswerCut, encodable
from vagrantish.errors import (
    BootError,
    BoxNotFound,
    ConfigError,
    HostError,
    MachineNotRunning,
    Problem,
    ProvisionError,
    VxError,
)
from vagrantish.events import Cancelled
from vagrantish.lifecycle.parallel import SeveralFailed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli

PLAIN = Style(json=False, events=False, color=False)
JSON = Style(json=True, events=False, color=False)


def told(
    capsys: pytest.CaptureFixture[str], error: BaseException, style: Style = PLAIN
) -> tuple[int, str]:
    capsys.readouterr()
    status = report(error, style, verb="up", bug_log=None)
    return status, capsys.readouterr().err


def test_a_message_and_a_hint_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    error = BoxNotFound("there is no box x", hint="Build it.")

    assert told(capsys, error) == (4, "vx: error: there is no box x\n  hint: Build it.\n")


def test_only_the_mark_is_coloured(capsys: pytest.CaptureFixture[str]) -> None:
    _, text = told(capsys, VxError("no"), Style(json=False, events=False, color=True))

    assert text == "\x1b[1;31mvx: error:\x1b[0m no\n"


def test_every_problem_of_the_settings_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    problems = [Problem("Xhyvefile:3", "unknown key `memry`", "did you mean `memory`?")]
    assert told(capsys, ConfigError(problems)) == (
        3,
        "vx: error: Xhyvefile:3: unknown key `memry` (did you mean `memory`?)\n",
    )

    status, text = told(capsys, ConfigError([*problems, Problem("--set", "bad")]))
    assert status == 3
    assert text.splitlines() == [
        "vx: error: 2 problems in the settings",
        "  Xhyvefile:3: unknown key `memry` (did you mean `memory`?)",
        "  --set: bad",
    ]


def test_a_failed_boot_shows_how_far_it_came_and_the_console(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = BootError(
        "web did not boot", hint="See `vx logs`.", stage="kernel", console=["panic\x1b[2J!", "end"]
    )

    status, text = told(capsys, error)

    assert status == 7
    assert text.splitlines() == [
        "vx: error: web did not boot",
        "  It came as far as: kernel",
        "  The last lines of its console:",
        "    | panic!",
        "    | end",
        "  hint: See `vx logs`.",
    ]


def test_several_machines_fail_one_below_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    error = SeveralFailed(
        [
            ("web", ProvisionError("step a failed", hint="Fix a.")),
            ("db", BootError("no boot", stage="ssh", console=["x"])),
        ]
    )

    status, text = told(capsys, error)

    assert status == 8
    assert text.splitlines() == [
        "vx: error: 2 machines failed",
        "  web: step a failed",
        "    hint: Fix a.",
        "  db: no boot",
        "    It came as far as: ssh",
        "    The last lines of its console:",
        "      | x",
    ]


def test_nothing_in_a_message_reaches_the_terminal_as_a_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, text = told(capsys, VxError("a\x1b]0;t\x07b\nc\x9b2J", hint="\x1b[2Jd"))

    assert text == "vx: error: ab\n  c\n  hint: d\n"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BoxNotFound("m", hint="h"), 4, "box-not-found"),
        (HostError("m", hint="h"), 5, "host"),
        (MachineNotRunning("m", hint="h"), 6, "machine-not-running"),
        (ProvisionError("m", hint="h"), 8, "provision"),
    ],
)
def test_the_json_object_is_one_line(
    capsys: pytest.CaptureFixture[str], error: VxError, status: int, code: str
) -> None:
    found, text = told(capsys, error, JSON)

    assert found == status
    assert text.count("\n") == 1
    assert json.loads(text) == {
        "schema": "vx.error/1",
        "code": code,
        "message": "m",
        "hint": "h",
        "exit_status": status,
    }


def test_json_holds_all_that_people_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    _, config = told(capsys, ConfigError([Problem("Xhyvefile:1", "bad", "h")]), JSON)
    _, boot = told(capsys, BootError("m", stage="ssh", console=["a"]), JSON)
    _, several = told(capsys, SeveralFailed([("web", VxError("m")), ("db", VxError("n"))]), JSON)

    assert json.loads(config)["problems"] == [
        {"where": "Xhyvefile:1", "message": "bad", "hint": "h"}
    ]
    assert (json.loads(boot)["stage"], json.loads(boot)["console"]) == ("ssh", ["a"])
    assert [part["machine"] for part in json.loads(several)["failures"]] == ["web", "db"]


def test_among_events_an_error_is_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    _, text = told(capsys, VxError("m"), Style(json=False, events=True, color=False))

    event = json.loads(text)
    assert (event["event"], event["schema"], event["message"]) == ("error", "vx.error/1", "m")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Cancelled()])
def test_an_interruption_is_130(capsys: pytest.CaptureFixture[str], error: BaseException) -> None:
    assert told(capsys, error) == (130, "vx: interrupted\n")
    status, text = told(capsys, error, JSON)
    assert (status, json.loads(text)["code"]) == (130, "interrupted")


def test_a_full_disk_is_told_even_where_nobody_expected_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = OSError(28, "No space left on device", "/x/y")

    status, text = told(capsys, error)

    assert status == 5
    assert "No space left on device: /x/y" in text
    assert "hint: Free some space" in text


def test_a_reader_that_has_seen_enough_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, AnswerCut(), JSON) == (141, "")


def fail_deep(depth: int) -> None:
    if depth == 0:
        raise RuntimeError("secret detail \x1b[2J")
    fail_deep(depth - 1)


def bug() -> BaseException:
    try:
        fail_deep(3)
    except RuntimeError as error:
        return error
    raise AssertionError


def test_a_bug_leaves_its_trace_in_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "home" / "bug.log"

    status = report(bug(), PLAIN, verb="up", bug_log=log)

    text = capsys.readouterr().err
    assert status == 70
    assert "Traceback" not in text
    assert f"What happened is in {log}" in text
    assert "fail_deep" in log.read_text()
    assert oct(log.stat().st_mode & 0o777) == "0o600"


def test_the_bug_log_keeps_the_newest_and_stays_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "bug.log"
    log.write_bytes(b"--- old\n" + b"x" * (BUG_LOG_MAX - 100) + b"\n--- newer\nkept\n")

    report(bug(), PLAIN, verb="up", bug_log=log)
    report(bug(), PLAIN, verb="halt", bug_log=log)

    text = log.read_text()
    assert len(text) < BUG_LOG_MAX
    assert text.startswith("--- newer\nkept\n--- ")
    assert text.count("\nRuntimeError: secret detail") == 2
    capsys.readouterr()


def test_a_recursion_without_end_fits_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "bug.log"
    nested: list[object] = []
    nested.append(nested)
    try:
        json.dumps({"a": nested}, check_circular=False)
    except RecursionError as error:
        status = report(error, PLAIN, verb="up", bug_log=log)

    assert status == 70
    assert log.stat().st_size < BUG_LOG_MAX
    capsys.readouterr()


def test_where_no_log_can_be_written_the_trace_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")

    status = report(bug(), JSON, verb="up", bug_log=in_the_way / "bug.log")

    text = capsys.readouterr().err
    assert status == 70
    assert "fail_deep" in text
    assert "\x1b" not in text
    assert json.loads(text.splitlines()[-1])["code"] == "bug"


def test_a_home_that_cannot_be_written_is_told(cli: Cli) -> None:
    cli.home.write_text("")

    told = cli("--json", "box", "list")

    assert told.status == 5
    assert told.error["code"] == "host"
    assert "VX_HOME" in told.error["hint"]


def run_vx(*words: str, stdout: int, env: dict[str, str] | None = None) -> tuple[int, str]:
    program = "from vagrantish.cli.main import entry; entry()"
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
        text=True,
    )
    return done.returncode, done.stderr


def test_a_closed_pipe_ends_vx_without_a_word() -> None:
    reader, writer = os.pipe()
    os.close(reader)

    for words in (["--help"], ["--version"], ["version", "--json"], ["help"]):
        assert run_vx(*words, stdout=writer) == (141, ""), words

    os.close(writer)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_an_answer_that_cannot_be_written_is_a_failure() -> None:
    with open("/dev/full", "w") as full:
        for words in (["--help"], ["--version"], ["version", "--json"], ["help"]):
            status, text = run_vx(*words, stdout=full.fileno())

            assert status == 5, words
            assert "cannot write the answer: No space left on device" in text


def test_what_an_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with out.open("w", encoding="ascii") as stream:
        encodable(stream, "gr\u00fcn \udcff\n")

    assert out.read_text() == "gr\\xfcn \\udcff\n"
