"""The kinds of xhyve, by what they print."""

from __future__ import annotations

import pytest

from tests.fakes.hyve import model, texts
from vagrantish.provider.xhyve.flavour import Flavour, flavour_of, version_of


@pytest.mark.parametrize("name", ["xhyve", "hyperkit", "xhyve-head", "my xhyve"])
@pytest.mark.parametrize("flavour", model.Flavour)
def test_each_kind_is_known_whatever_its_file_is_called(flavour: model.Flavour, name: str) -> None:
    told = texts.version(name, flavour)

    assert flavour_of(texts.help_of(name, flavour), told) == Flavour(flavour)
    assert told.startswith(f"{name}: ")
    assert version_of(told) == texts.VERSIONS[flavour].removeprefix("v")


@pytest.mark.parametrize(
    ("told", "helped"),
    [
        ("", ""),
        ("bhyve: illegal option -- v\nUsage: bhyve [-M]", ""),
        ("GNU bash, version 5.2.15\nsee: xhyve", "[-M]"),
        ("tool: 1.2\nsomething else", "[-M]"),
        ("xhyve", "[-M]"),
    ],
)
def test_other_programs_are_none_of_them(told: str, helped: str) -> None:
    assert flavour_of(helped, told) is None


def test_one_that_was_built_from_the_tip_has_a_version_of_its_own() -> None:
    told = "xhyve: HEAD-dfbe09b\n\nHomepage: http://www.xhyve.org"

    assert version_of(told) == "HEAD-dfbe09b"
    assert flavour_of("[-behuwxMACHPWY]", told) is Flavour.HEAD
