"""Versions: their order, and what a shorter one asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vagrantish.box import reference, versions

VERSIONS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("9.8.20260525.0", "9.10.20260101.0"),
        ("22.04.20260705", "24.04.20260101"),
        ("24.04.20260705", "24.04.20260705.1"),
        ("13.20260712-2537", "13.20260810-2566"),
        ("13.20260712-999", "13.20260712-2537"),
        ("1.0-rc1", "1.0"),
        ("1.0-rc2", "1.0-rc10"),
        ("1.0", "1.0-2"),
        ("44.1.7", "44.1.10"),
        ("bookworm", "trixie"),
        ("latest", "1"),
    ],
)
def test_versions_have_the_order_people_expect(older: str, newer: str) -> None:
    assert versions.key(older) < versions.key(newer)
    assert versions.newest([newer, older]) == versions.newest([older, newer]) == newer


@pytest.mark.parametrize(
    ("version", "wanted", "does"),
    [
        ("24.04.20260705", "24.04", True),
        ("24.04.20260705", "24", True),
        ("24.04.20260705", "24.04.20260705", True),
        ("24.04.20260705", "24.0", False),
        ("24.04.20260705", "24.04.2026", False),
        ("24.04", "24.04.20260705", False),
        ("10-v2.2.1", "10", False),
        ("10-v2.2.1", "10-v2", True),
        ("1..2", "1.", True),
    ],
)
def test_a_version_is_asked_for_by_its_first_whole_parts(
    version: str, wanted: str, does: bool
) -> None:
    assert versions.matches(version, wanted) is does


def test_the_newest_is_taken_of_those_that_match() -> None:
    there = ["22.04.20260705", "24.04.20241004", "24.04.20260705", "26.04.20260720"]

    assert versions.newest(there, "24.04") == "24.04.20260705"
    assert versions.newest(there) == "26.04.20260720"
    assert versions.newest(there, "23.10") is None
    assert versions.newest([]) is None


@given(st.lists(VERSIONS, min_size=1))
def test_the_newest_does_not_depend_on_the_order_they_come_in(there: list[str]) -> None:
    found = versions.newest(there)

    assert found == versions.newest(sorted(there)) == versions.newest(reversed(there))
    assert all(versions.key(found or "") >= versions.key(version) for version in there)


@given(VERSIONS, VERSIONS)
def test_every_version_matches_itself_and_what_it_begins_with(one: str, other: str) -> None:
    reference.check_version(one)

    assert versions.matches(one, one)
    assert versions.matches(f"{one}.{other}", one)
    assert not versions.matches(f"{one}x{other}", one)
