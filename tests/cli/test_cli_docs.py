"""docs/cli.md and what it describes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from vagrantish.cli import overview, reporters
from vagrantish.cli.commands import COMMANDS, SYNONYMS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/cli.md").read_text(encoding="utf-8")


def test_every_exit_status_and_variable_is_described() -> None:
    for status, _ in overview.EXIT_STATUSES:
        assert f"\n| {status} | " in PAGE
    for names, _ in overview.ENVIRONMENT:
        for name in names.split(", "):
            assert f"`{name}`" in PAGE


def test_every_event_is_described() -> None:
    for name in (*reporters.EVENT_NAMES.values(), "error"):
        assert f"\n| `{name}` | " in PAGE


def schemas() -> Iterator[str]:
    for path in (ROOT / "vagrantish/cli").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        yield from re.findall(r'answer_json\(\s*"([a-z-]+)"', text)
        yield from re.findall(r'_stored\("([a-z-]+)"', text)


def test_every_answer_for_scripts_is_described() -> None:
    missing = {name for name in schemas() if f"`vx.{name}/1`" not in PAGE}

    assert missing == set()


def test_what_people_of_other_tools_type_leads_to_real_commands() -> None:
    assert set(SYNONYMS.values()) <= set(COMMANDS)
    assert not set(SYNONYMS) & set(COMMANDS)
