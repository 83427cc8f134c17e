"""The pages lead where they say, and what they show is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vagrantish.config.load import load
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from vagrantish.model import Project

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/Xhyvefile"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    links = _LINK.findall(page.read_text(encoding="utf-8"))

    missing = [
        link for link in links if "://" not in link and not (page.parent / link).resolve().exists()
    ]

    assert missing == []


def test_every_decision_record_is_in_the_index_and_has_a_number_of_its_own() -> None:
    records = sorted(path.name for path in (ROOT / "docs/adr").glob("[0-9]*.md"))
    index = (ROOT / "docs/adr/README.md").read_text(encoding="utf-8")

    assert [name for name in records if f"({name})" not in index] == []
    assert len({name[:4] for name in records}) == len(records)


def test_every_target_of_the_makefile_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)

    assert sorted(phony.split()) == sorted(re.findall(r"^(\w+):.*## ", makefile, re.MULTILINE))


def test_every_file_vx_keeps_is_in_the_documentation() -> None:
    names = re.findall(
        r'self\.(?:root|directory) / "([^"]+)"', (ROOT / "vagrantish/paths.py").read_text("utf-8")
    )
    page = (ROOT / "docs/state.md").read_text(encoding="utf-8")

    assert len(names) > 20
    assert [name for name in names if name not in page] == []


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", README, re.DOTALL))
def test_the_readmes_xhyvefile_is_valid(tmp_path: Path, text: str) -> None:
    (tmp_path / "Xhyvefile").write_text(text, encoding="utf-8")

    assert load_project(tmp_path).machines


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid(example: Path) -> None:
    assert load_project(example).machines


def load_project(folder: Path) -> Project:
    home = VxHome(folder / "no-home")
    return load(folder / "Xhyvefile", home=home, env={}, box_defaults=lambda _box: None).project
