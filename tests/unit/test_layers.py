"""Who may import whom: the table in docs/architecture.md, checked."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]

# From the outside in; a module imports from its own row or from rows below it.
ROWS = (
    {"__main__", "cli"},
    {"lifecycle"},
    {"box", "config", "machine", "provider", "provision", "seed", "ssh"},
    {
        "bootlimits",
        "diagnosis",
        "formats",
        "files",
        "fetch",
        "locks",
        "paths",
        "proc",
        "render",
        "resources",
        "toml",
        "urls",
        "wait",
        "workers",
    },
    {"model", "errors", "events", "units", "__init__"},
)
# The packages of this row do not know each other: lifecycle joins them.
STRANGERS = ROWS[2]

# Third-party package → the only modules of ours that import it.
DOORWAYS = {
    "backports": {"formats"},
    "compression": {"formats"},  # the same, in the standard library from Python 3.14 on
    "cryptography": {"ssh"},
    "filelock": {"locks", "files"},
    "fs_explorer": {"formats"},
    "jinja2": {"render"},
    "paramiko": {"ssh"},
    "psutil": {"proc", "provider"},
    "pycdlib": {"seed"},
    "pysequoia": {"fetch"},
    "requests": {"fetch"},
    "urllib3": {"fetch"},  # what requests is made of, and lets through
    "rich": {"cli"},
    "tomli": {"toml"},
}

# What a distribution is called → what is imported of it, where the two differ.
_MODULES = {"backports.zstd": "backports", "fs-explorer": "fs_explorer"}

# (importing module, imported name) → the decision record in docs/adr/ that allows it.
EXCEPTIONS: dict[tuple[str, str], str] = {}


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Every module a file imports when it runs, wherever in the file; types alone do not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for branch in node.orelse:
                yield from imports(ast.Module([branch], []), package)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            if base == "vagrantish":
                yield from (f"vagrantish.{alias.name}" for alias in node.names)
            else:
                yield base
        else:
            yield from imports(node, package)


def row_of(part: str) -> int:
    for index, row in enumerate(ROWS):
        if part in row:
            return index
    raise AssertionError(f"vagrantish/{part} has no row in {Path(__file__).name}")


def part_of(module: str) -> str:
    """``vagrantish.ssh.client`` → ``ssh``; names of the package itself, as __version__, → __init__."""
    parts = module.split(".")
    if len(parts) < 2 or (parts[1].startswith("__") and parts[1] != "__main__"):
        return "__init__"
    return parts[1]


def complaint(module: str, target: str) -> str | None:
    """Why ``module`` may not import ``target``; None when it may."""
    ours, theirs = part_of(module), target.partition(".")[0]
    if theirs == "vagrantish":
        part = part_of(target)
        if row_of(part) < row_of(ours):
            return f"{module} imports {target}, which is a layer above it"
        if part != ours and {part, ours} <= STRANGERS:
            return f"{module} imports {target}: lifecycle joins these packages"
    elif theirs not in sys.stdlib_module_names and ours not in DOORWAYS.get(theirs, set()):
        return f"{module} imports {target} beside its doorway ({theirs}: {DOORWAYS.get(theirs)})"
    return None


def files() -> Iterator[tuple[str, str, Path]]:
    """(module, the package it lies in, file) of all we ship."""
    for path in sorted((ROOT / "vagrantish").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = ".".join(parts[:-1])
        yield (package if parts[-1] == "__init__" else ".".join(parts)), package, path


def all_imports() -> Iterator[tuple[str, str]]:
    for module, package, path in files():
        for target in imports(ast.parse(path.read_text(encoding="utf-8")), package):
            yield module, target


def test_every_import_points_down_or_stays_in_its_package() -> None:
    found = [
        text
        for module, target in all_imports()
        if (module, target) not in EXCEPTIONS and (text := complaint(module, target))
    ]

    assert found == []


def test_every_exception_is_needed_and_has_a_decision_record() -> None:
    needed = {pair for pair in all_imports() if complaint(*pair)}

    for pair, number in EXCEPTIONS.items():
        assert pair in needed, f"{pair} breaks no rule"
        assert list((ROOT / "docs/adr").glob(f"{number}-*.md")), f"no docs/adr/{number}-*.md"


def test_what_is_imported_is_what_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {
        match[0].lower()
        for text in project["dependencies"]
        if (match := re.match(r"[\w.-]+", text))
    }

    modules = {_MODULES.get(name, name) for name in declared}
    assert modules == set(DOORWAYS) - {"compression"}


@pytest.mark.parametrize(
    ("module", "source", "why"),
    [
        ("vagrantish.units", "from vagrantish import files", "a layer above"),
        ("vagrantish.ssh.client", "import vagrantish.cli.main", "a layer above"),
        ("vagrantish.box.store", "from vagrantish.ssh.keys import make", "lifecycle joins"),
        ("vagrantish.box.store", "from ..ssh import keys", "lifecycle joins"),
        ("vagrantish.box.store", "def f():\n    import requests", "beside its doorway"),
        ("vagrantish.box.store", "try:\n    import yaml\nexcept ImportError: ...", "beside"),
    ],
)
def test_a_breach_is_seen(module: str, source: str, why: str) -> None:
    package = module.rpartition(".")[0]

    complaints = [complaint(module, target) for target in imports(ast.parse(source), package)]

    assert [why in (text or "") for text in complaints] == [True]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vagrantish.box.store", "from vagrantish import files, __version__"),
        ("vagrantish.box.store", "from vagrantish.box.reference import parse\nimport os"),
        ("vagrantish.box.store", "if TYPE_CHECKING:\n    from vagrantish.ssh.client import Client"),
        ("vagrantish.fetch", "import requests.adapters"),
        ("vagrantish.cli.up", "from vagrantish.lifecycle import up"),
    ],
)
def test_what_the_rule_allows_passes(module: str, source: str) -> None:
    package = module.rpartition(".")[0]

    complaints = [complaint(module, target) for target in imports(ast.parse(source), package)]

    assert [text for text in complaints if text] == []
