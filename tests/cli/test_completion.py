"""Completion, asked of the real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect  # type: ignore[import-untyped]  # it comes without types
import pytest

from tests.fakes.tinybox import box_folder
from vagrantish.cli.commands import COMMANDS
from vagrantish.cli.completion import SHELLS
from vagrantish.cli.completions.grammar import verbs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Cli
    from tests.conftest import Vx

PROJECT = 'box = "micro"\n[machines.web]\nprimary = true\n[machines.web-backup]\n[machines.db]\n'

# Line up to the cursor → all that may stand there, or what must be among it.
EXACT = [
    ("vx valid", {"validate"}),
    ("vx sta", {"status"}),
    (
        "vx box ",
        {"list", "info", "build", "add", "remove", "prune", "verify", "outdated", "update"},
    ),
    ("vx --json box l", {"list"}),
    ("vx help bo", {"box"}),
    ("vx up --pro", {"--provider", "--provision"}),
    ("vx --color ", {"auto", "always", "never"}),
    ("vx completion ", {"bash", "zsh", "fish"}),
    ("vx box build ", {"micro"}),
    ("vx halt ", {"web", "web-backup", "db"}),
    ("vx halt web ", {"web", "web-backup", "db"}),
    ("vx up --jobs 2 d", {"db"}),
    ("vx ssh w", {"web", "web-backup"}),
    ("vx -C ../project status d", {"db"}),
    ("vx -C .. ssh ", set()),
    ("vx box info ", {"micro"}),
    ("vx config --machine d", {"db"}),
    ("vx config explain boot.t", {"boot.timeout"}),
    ("vx box add ../proj", {"../project"}),
]


def needs(shell: str) -> str:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    return program


def environment(vx: Vx) -> dict[str, str]:
    env = vx.env({"TERM": "dumb", "PS1": "> "})
    return env | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"}


@pytest.fixture
def project(vx: Vx) -> Vx:
    vx.xhyvefile(PROJECT)
    return vx


def completed_by_bash(line: str, vx: Vx) -> set[str]:
    """What bash's own function answers for a line readline has split."""
    words = line.replace("=", " = ").replace("@", " @ ").split()
    words += [""] if line.endswith(" ") else []
    script = (
        "source <(vx completion bash)\n"
        'COMP_LINE=$1 COMP_POINT=${#1}; shift; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))\n'
        '_vx; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [needs("bash"), "--norc", "-c", script, "bash", line, *words],
        cwd=vx.folder, env=environment(vx), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return set(done.stdout.split())


def completed_by_fish(line: str, vx: Vx) -> set[str]:
    done = subprocess.run(
        [needs("fish"), "--no-config", "-c", "vx completion fish | source; complete -C $argv[1]", line],
        cwd=vx.folder, env=environment(vx) | {"HOME": str(vx.home)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    found = {row.partition("\t")[0].rstrip("/") for row in done.stdout.splitlines()}
    # From release 4 on fish also offers what has the word in its middle.
    return {word for word in found if word.startswith(line.rpartition(" ")[2])}


@pytest.mark.parametrize(("line", "expected"), EXACT)
def test_bash_completes(project: Vx, line: str, expected: set[str]) -> None:
    assert completed_by_bash(line, project) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("vx --color=n", {"never"}),
        ("vx --color=", {"auto", "always", "never"}),
        ("vx halt --color=never d", {"db"}),
        ("vx ssh web ", set()),
        ("vx ssh -- w", set()),
    ],
)
def test_bash_completes_around_its_own_word_breaks(
    project: Vx, line: str, expected: set[str]
) -> None:
    assert completed_by_bash(line, project) == expected


@pytest.mark.parametrize(("line", "expected"), EXACT)
def test_fish_completes(project: Vx, line: str, expected: set[str]) -> None:
    assert completed_by_fish(line, project) == expected


def test_fish_knows_what_a_verbs_own_option_means(project: Vx) -> None:
    assert "-f" in completed_by_fish("vx logs -", project)
    assert completed_by_fish("vx logs -f d", project) == {"db"}


class Zsh:
    """An interactive zsh. ``complete`` answers what stands on the line after a TAB."""

    def __init__(self, vx: Vx) -> None:
        self.shell = pexpect.spawn(
            needs("zsh"), ["-f"], cwd=str(vx.folder), env=environment(vx) | {"TERM": "xterm"},
            encoding="utf-8", dimensions=(50, 200), timeout=30,
        )  # fmt: skip
        # Then a widget that prints the line, so that no screen has to be read.
        self.shell.sendline(
            "PS1='> '; autoload -U compinit && compinit -u -D && source <(vx completion zsh);"
            'setopt nolistambiguous noautolist; show() { print -r -- "\\n<<$BUFFER>>" };'
            "zle -N show; bindkey '^I' complete-word; bindkey '^X' show; print re''ady"
        )
        self.shell.expect_exact("ready\r\n")

    def complete(self, line: str) -> str:
        self.shell.send(f"\x15{line}\t\x18")
        self.shell.expect("<<([^>]*)>>")
        found: str = self.shell.match.group(1)
        return found


@pytest.fixture
def zsh(project: Vx) -> Iterator[Zsh]:
    shell = Zsh(project)
    yield shell
    shell.shell.close(force=True)


def test_zsh_completes(zsh: Zsh) -> None:
    for line, whole in [
        ("vx valid", "vx validate "),
        ("vx --json box rem", "vx --json box remove "),
        ("vx help bo", "vx help box "),
        ("vx up --provid", "vx up --provider "),
        ("vx --color nev", "vx --color never "),
        ("vx --color=nev", "vx --color=never "),
        ("vx completion z", "vx completion zsh "),
        ("vx halt d", "vx halt db "),
        ("vx halt web d", "vx halt web db "),
        ("vx up --jobs 2 d", "vx up --jobs 2 db "),
        ("vx -C ../project status d", "vx -C ../project status db "),
        ("vx -C .. status d", "vx -C .. status d"),
        ("vx logs -f d", "vx logs -f db "),
        ("vx box info mic", "vx box info micro "),
        ("vx config explain boot.t", "vx config explain boot.timeout "),
        ("vx box add ../proj", "vx box add ../project/"),
    ]:
        assert zsh.complete(line) == whole


def test_bash_completes_at_a_real_prompt(project: Vx) -> None:
    project.run("box", "add", box_folder(project.folder))
    shell = pexpect.spawn(
        needs("bash"), ["--norc", "--noprofile", "-i"], cwd=str(project.folder),
        env=environment(project), encoding="utf-8", dimensions=(50, 200), timeout=30,
    )  # fmt: skip
    shell.sendline(
        "source <(vx completion bash); bind 'set enable-bracketed-paste off'; echo re''ady"
    )
    shell.expect_exact("ready\r\n")

    for line, rest in [
        ("vx halt d", "b "),
        ("vx --color=nev", "er "),
        ("vx box add ../proj", "ect/"),
    ]:
        shell.send(f"{line}\t")
        shell.expect_exact(line + rest)
        shell.send("\x15")

    shell.close(force=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_valid_and_knows_every_verb(cli: Cli, shell: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    told = cli("completion", shell)
    script.write_text(told.out)

    subprocess.run([needs(shell), "-n", str(script)], check=True)

    assert all(verb in told.out for verb in COMMANDS)
    assert cli("completion", shell, "--json").answer["script"] == told.out


def test_the_grammar_covers_every_command_and_its_verbs() -> None:
    names = {verb.name for verb in verbs()}

    assert names >= {"", "help", *COMMANDS, "box add", "config explain"}


@pytest.mark.parametrize("kind", ["machines", "boxes", "keys"])
def test_names_are_silent_where_there_is_no_project(cli: Cli, kind: str) -> None:
    told = cli("completion", "--names", kind)

    assert told.err == ""
    assert told.out == ("micro\n" if kind == "boxes" else "")


def test_a_shell_must_be_named(cli: Cli) -> None:
    told = cli("completion")

    assert told.status == 2
    assert "bash, zsh, fish" in told.err
