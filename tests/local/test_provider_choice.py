"""Which provider a machine gets, with programs that are there or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vagrantish.errors import ProviderError
from vagrantish.model import BhyveOptions, QemuOptions, VfkitOptions, XhyveOptions
from vagrantish.paths import VxHome
from vagrantish.provider.choice import Choice, Host, choose

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INTEL_MAC = Host(system="darwin", arch="x86_64")
APPLE_MAC = Host(system="darwin", arch="arm64")
FREEBSD = Host(system="freebsd", arch="amd64")
LINUX = Host(system="linux", arch="x86_64")
KINDS = {
    "qemu": QemuOptions,
    "xhyve": XhyveOptions,
    "hyperkit": XhyveOptions,
    "vfkit": VfkitOptions,
    "bhyve": BhyveOptions,
}


@pytest.fixture
def pick(tmp_path: Path) -> Callable[..., Choice]:
    """Chooses where only the programs ``here`` are installed."""

    def chosen(host: Host, here: set[str], *preferences: str) -> Choice:
        def options_of(name: str) -> Any:
            program = tmp_path / name
            if name in here:
                program.write_text("#!/bin/sh\n")
                program.chmod(0o755)
            return KINDS[name](binary=str(program))

        return choose(preferences, options_of, home=VxHome(tmp_path), host=host)

    return chosen


@pytest.mark.parametrize(
    ("host", "name", "reason"),
    [
        (INTEL_MAC, "xhyve", "Intel processor"),
        (APPLE_MAC, "vfkit", "Apple processor"),
        (LINUX, "qemu", "every host"),
    ],
)
def test_auto_takes_what_is_made_for_the_host_and_says_why(
    pick: Callable[..., Choice], host: Host, name: str, reason: str
) -> None:
    choice = pick(host, {"qemu", name}, "auto")

    assert choice.provider.name == name
    assert reason in choice.why
    assert choice.better == ""


@pytest.mark.parametrize(
    ("host", "name", "how"),
    [
        (INTEL_MAC, "xhyve", "xhyve"),
        (APPLE_MAC, "vfkit", "vfkit"),
        (FREEBSD, "bhyve", "kldload vmm"),
    ],
)
def test_auto_falls_back_to_qemu_and_says_what_would_be_better(
    pick: Callable[..., Choice], host: Host, name: str, how: str
) -> None:
    choice = pick(host, {"qemu"}, "auto")

    assert choice.provider.name == "qemu"
    assert name in choice.better
    assert how in choice.better


def test_where_nothing_is_installed_the_better_one_is_asked_for(
    pick: Callable[..., Choice],
) -> None:
    assert pick(INTEL_MAC, set(), "auto").provider.name == "xhyve"


def test_of_a_list_the_first_that_is_here_is_taken(pick: Callable[..., Choice]) -> None:
    choice = pick(LINUX, {"qemu", "hyperkit"}, "xhyve", "hyperkit", "qemu")

    assert choice.provider.name == "hyperkit"
    assert "xhyve" in choice.why


def test_auto_ends_a_list(pick: Callable[..., Choice]) -> None:
    assert pick(LINUX, {"qemu"}, "vfkit", "auto").provider.name == "qemu"


def test_one_named_alone_is_taken_without_looking(pick: Callable[..., Choice]) -> None:
    choice = pick(LINUX, set(), "xhyve")

    assert (choice.provider.name, choice.why) == ("xhyve", "")


def test_a_list_of_which_nothing_is_here_says_what_each_lacks(pick: Callable[..., Choice]) -> None:
    with pytest.raises(ProviderError, match=r"none of the providers xhyve, hyperkit") as caught:
        pick(LINUX, set(), "xhyve", "hyperkit")

    assert "hyperkit" in caught.value.message
    assert caught.value.hint


def test_a_misspelt_provider_is_refused_even_behind_a_good_one(
    pick: Callable[..., Choice],
) -> None:
    with pytest.raises(ProviderError, match='no provider "qemuu"'):
        pick(LINUX, {"qemu"}, "qemu", "qemuu")
