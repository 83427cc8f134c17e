from __future__ import annotations

import pytest

from vagrantish.config.requires import satisfies


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("0.1.0", ">=0.1", True),
        ("0.1.0", ">=0.1.0", True),
        ("0.1.0", ">=0.1.1", False),
        ("0.10.0", ">0.9", True),
        ("1.0", ">=0.1, <1", False),
        ("0.9.9", ">=0.1,<1", True),
        ("0.1.0", "==0.1", True),
        ("0.1.0", "!=0.1", False),
        ("0.1.0", "<=0.1", True),
        ("0.1.0.dev3", ">=0.1", True),
        ("0.2.0rc1", ">=0.2", True),
        ("2", "> 1.9.9", True),
    ],
)
def test_versions_are_compared_number_by_number(version: str, wanted: str, fits: bool) -> None:
    assert satisfies(version, wanted) is fits


@pytest.mark.parametrize(
    "wanted", ["", "0.1", ">=", ">=a", ">=1..2", ">=1.2,", "=1", ">=1.*", ">=1 2"]
)
def test_what_is_no_version_is_refused(wanted: str) -> None:
    with pytest.raises(ValueError, match="is no list of versions"):
        satisfies("0.1.0", wanted)
