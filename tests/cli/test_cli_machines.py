"""Which machines, which Xhyvefile: what every command asks of App."""

from __future__ import annotations

import os
import pty
from typing import TYPE_CHECKING

import pytest

from vagrantish.cli.app import App
from vagrantish.cli.invocation import parse
from vagrantish.cli.options import Options
from vagrantish.errors import HostError, MachineNotFound, NoXhyvefile, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli

THREE = """
[machines.web]
primary = true
[machines.db]
autostart = false
[machines.cache]
count = 2
"""


def app_of(*words: str, **env: str) -> App:
    environment = {**os.environ, **env}
    return App(Options(parse([*words, "status"]).args, environment), environment)


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        ([], ["web", "cache-1", "cache-2"]),
        (["db"], ["db"]),
        (["cache-2", "web", "cache-2"], ["web", "cache-2"]),
        (["cache-*"], ["cache-1", "cache-2"]),
        (["cache-*", "cache-1"], ["cache-1", "cache-2"]),
        (["cache-[2-9]", "d?"], ["db", "cache-2"]),
        (["*"], ["web", "db", "cache-1", "cache-2"]),
    ],
)
def test_machines_are_chosen_once_each_in_the_files_order(
    cli: Cli, patterns: list[str], chosen: list[str]
) -> None:
    cli.xhyvefile(THREE)

    assert app_of().select(patterns) == chosen


def test_everything_means_also_what_does_not_start_by_itself(cli: Cli) -> None:
    cli.xhyvefile(THREE)

    assert app_of().select([], everything=True) == ["web", "db", "cache-1", "cache-2"]


@pytest.mark.parametrize(
    ("pattern", "hint"), [("wbe", "Did you mean web"), ("zzz", "web, db"), ("x*", "web, db")]
)
def test_an_unknown_machine_is_told_with_those_there_are(cli: Cli, pattern: str, hint: str) -> None:
    cli.xhyvefile(THREE)

    with pytest.raises(MachineNotFound, match="no machine") as caught:
        app_of().select(["web", pattern])

    assert hint in caught.value.hint


def test_one_machine_is_the_named_the_primary_or_the_only_one(cli: Cli) -> None:
    cli.xhyvefile(THREE)
    assert app_of().one("db") == "db"
    assert app_of().one(None) == "web"

    cli.xhyvefile("cpus = 1")
    assert app_of().one(None) == "default"


def test_without_a_primary_machine_one_must_be_named(cli: Cli) -> None:
    cli.xhyvefile("[machines.a]\n[machines.b]\n")

    with pytest.raises(UsageError, match="a, b") as caught:
        app_of().one(None)

    assert "primary = true" in caught.value.hint


def test_the_xhyvefile_is_found_from_a_folder_below(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cli.xhyvefile(THREE)
    below = cli.folder / "src" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)

    assert app_of().xhyvefile() == file


def test_a_file_given_by_name_is_relative_to_the_directory_given(cli: Cli, tmp_path: Path) -> None:
    cli.xhyvefile("cpus = 1", "Other")

    told = cli("-C", str(tmp_path), "-f", "project/Other", "completion", "--names", "machines")

    assert (told.status, told.out) == (0, "default\n")


def test_the_working_directory_is_the_same_afterwards(cli: Cli, tmp_path: Path) -> None:
    cli("-C", str(tmp_path), "version", "--json")

    assert os.getcwd() == str(cli.folder)


def test_a_project_without_xhyvefile_is_told_how_to_begin(cli: Cli) -> None:
    with pytest.raises(NoXhyvefile) as caught:
        app_of().xhyvefile()

    assert "vx init" in caught.value.hint


def test_a_working_directory_that_is_gone_is_told(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = cli.folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    with pytest.raises(HostError, match="working directory is gone"):
        app_of().xhyvefile()


def test_a_directory_that_is_none_is_a_usage_error(cli: Cli) -> None:
    told = cli("-C", "nowhere", "status")

    assert told.status == 2
    assert "cannot change to nowhere" in told.err


def test_a_home_that_is_a_file_is_told(cli: Cli) -> None:
    cli.home.write_text("")

    with pytest.raises(HostError, match="not a folder"):
        _ = app_of().home


def test_jobs_come_from_the_option_then_the_variable() -> None:
    assert app_of(VX_JOBS="3").jobs(None) == 3
    assert app_of(VX_JOBS="3").jobs(5) == 5
    assert app_of().jobs(None) >= 1
    with pytest.raises(UsageError, match="--jobs 0"):
        app_of().jobs(0)


def test_nobody_is_asked_where_nobody_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    master, terminal = pty.openpty()
    with os.fdopen(terminal, "r") as stdin, open(os.devnull) as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        with pytest.raises(UsageError, match="Remove it") as caught:
            app_of().confirm("Remove it?")
        assert "--yes" in caught.value.hint

        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(UsageError, match="Remove it"):
            app_of("--no-input").confirm("Remove it?")
        assert app_of("--yes", "--no-input").confirm("Remove it?") is True
    os.close(master)


@pytest.mark.parametrize(
    ("typed", "meant"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False)]
)
def test_a_question_is_answered_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, meant: bool
) -> None:
    master, terminal = pty.openpty()
    with os.fdopen(terminal, "r") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        os.write(master, typed.encode())

        answer = app_of().confirm("Remove it?")

    os.close(master)
    assert answer is meant
    assert capsys.readouterr() == ("", "Remove it? [y/N] ")


@pytest.mark.parametrize(("words", "env"), [(["--offline"], {}), ([], {"VX_OFFLINE": "yes"})])
def test_offline_is_known_to_all_that_works(words: list[str], env: dict[str, str]) -> None:
    assert app_of(*words, **env).op.on("web").offline is True
    assert app_of().op.offline is False
