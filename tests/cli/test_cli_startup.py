"""What commands that must answer at once do not import. Times are for ``make bench``."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Vx

THIRD_PARTY_BUT_TOMLI = {
    "cryptography", "filelock", "jinja2", "paramiko", "psutil", "requests", "rich",
}  # fmt: skip
HEAVY = THIRD_PARTY_BUT_TOMLI | {
    "asyncio", "concurrent.futures", "dataclasses", "importlib.metadata", "inspect", "logging",
    "platform", "subprocess", "tempfile", "traceback", "typing", "urllib.request", "uuid",
}  # fmt: skip


# Runs vx, then says on its own descriptor which modules there are.
PROBE = """
import os, sys
out = os.fdopen(int(sys.argv.pop(1)), "w")
if sys.argv[1:]:
    from vagrantish.cli.main import main
    main()
out.write(" ".join(sys.modules))
"""


def imported(vx: Vx, *words: str) -> set[str]:
    """The modules one command line imports, beyond those of a bare interpreter."""
    return _modules_after(vx, *words) - _modules_after(vx)


def _modules_after(vx: Vx, *words: str) -> set[str]:
    reader, writer = os.pipe()
    with os.fdopen(reader) as answer:
        subprocess.run(
            [sys.executable, "-c", PROBE, str(writer), *words],
            cwd=vx.folder,
            env=vx.env(),
            pass_fds=[writer],
            capture_output=True,
            check=True,
        )
        os.close(writer)
        return set(answer.read().split())


@pytest.mark.parametrize("words", [("--version",), ("version",)])
def test_the_version_costs_next_to_nothing(vx: Vx, words: tuple[str, ...]) -> None:
    modules = imported(vx, *words)

    assert modules <= {
        "__future__", "vagrantish", "vagrantish.cli", "vagrantish.cli.main",
        "vagrantish.cli.output",
    }  # fmt: skip


@pytest.mark.parametrize("words", [("--help",), ("help",), ("up", "--help"), ("no-such-verb",)])
def test_help_and_mistakes_import_no_library_at_all(vx: Vx, words: tuple[str, ...]) -> None:
    modules = imported(vx, *words)

    assert not modules & (THIRD_PARTY_BUT_TOMLI | {"tomli", "logging", "subprocess"})


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("status", "--json"),
        ("global-status",),
        ("port",),
        ("logs",),
        ("ssh-config",),
        ("completion", "--names", "machines"),
    ],
)
def test_looking_at_machines_imports_nothing_heavy(vx: Vx, words: tuple[str, ...]) -> None:
    vx.xhyvefile("[machines.web]\n[machines.db]\nprimary = true\n")

    modules = imported(vx, *words)

    assert "vagrantish.cli.app" in modules
    assert not modules & HEAVY


def test_only_the_chosen_verbs_module_is_imported(vx: Vx) -> None:
    modules = imported(vx, "schema", "--help")

    assert "vagrantish.cli.schema" in modules
    assert not modules & {"vagrantish.cli.up", "vagrantish.cli.status", "vagrantish.cli.box"}


def test_ssh_imports_no_library_but_the_toml_reader(vx: Vx) -> None:
    vx.xhyvefile("cpus = 1\n")

    modules = imported(vx, "ssh", "-c", "true")

    assert "vagrantish.lifecycle.connect" in modules
    assert not modules & THIRD_PARTY_BUT_TOMLI
