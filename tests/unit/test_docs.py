"""The pages lead where they say, and what they show is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vagrantish.cli.commands import COMMANDS
from vagrantish.config.load import load
from vagrantish.diagnosis.causes import catalogue
from vagrantish.lifecycle.doctor.examine import AREAS
from vagrantish.paths import VxHome
from vagrantish.provider.registry import PROVIDERS

if TYPE_CHECKING:
    from vagrantish.model import Project

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/Xhyvefile"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_PLACE = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")
_FINDING = re.compile(r'(?:\bid=|\bok\()f?"([a-z{}]+\.[a-z-]+)"')


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    links = _LINK.findall(page.read_text(encoding="utf-8"))

    missing = [
        link for link in links if "://" not in link and not (page.parent / link).resolve().exists()
    ]

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_heading_leads_to_one(page: Path) -> None:
    links = _PLACE.findall(page.read_text(encoding="utf-8"))

    missing = [
        f"{path}#{place}"
        for path, place in links
        if "://" not in path and place not in headings(page.parent / path if path else page)
    ]

    assert missing == []


def headings(page: Path) -> set[str]:
    """As GitHub names them."""
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in found}


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


def test_every_cause_of_failed_boots_is_listed_and_no_other() -> None:
    page = (ROOT / "docs/explain.md").read_text(encoding="utf-8")
    listed = re.findall(r"`([a-z0-9-]+)`", page.partition("## The causes")[2].partition("\n## ")[0])

    assert sorted(listed) == sorted(one.id for one in catalogue().causes if one.say or one.fix)


def test_the_causes_that_the_page_on_xhyve_explains_are_real() -> None:
    page = (ROOT / "docs/xhyve.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (`.*?) \|", page.partition("## When something is wrong")[2], re.MULTILINE
    )
    named = {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)}

    assert len(named) > 20
    assert named - {one.id for one in catalogue().causes} == set()


def test_every_check_of_the_doctor_is_listed_and_no_other() -> None:
    page = (ROOT / "docs/doctor.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([A-Za-z]+\.[a-z-]+)` \|", page, re.MULTILINE)
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in (
            *(ROOT / "vagrantish/lifecycle/doctor").glob("*.py"),
            ROOT / "vagrantish/cli/doctor.py",
        )
    )
    found = {
        check.replace("{name}", "PROVIDER").replace("{area}", "AREA")
        for check in _FINDING.findall(source)
    }

    assert sorted(listed) == sorted(found)
    assert {check.partition(".")[0] for check in listed} - {"PROVIDER", "AREA"} <= set(AREAS)


def test_every_provider_has_a_section_and_a_column() -> None:
    page = (ROOT / "docs/providers.md").read_text(encoding="utf-8")

    assert {name for name in PROVIDERS if f"\n## {name}\n" not in page} == set()
    assert f"| | {' | '.join(PROVIDERS)} |" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_that_is_shown_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r"^(?:\$ |    )vx ((?:[a-z-]+|COMMAND)\b)", text, re.MULTILINE)

    assert set(shown) - set(COMMANDS) - {"help"} == set()


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
