"""vx under a sudo that keeps HOME."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

USER = 12345

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be under sudo")


@pytest.mark.parametrize("exists", [True, False])
def test_root_leaves_nothing_in_the_home_of_the_user_who_ran_sudo(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    cli.xhyvefile('box = "micro"\n')
    owned = cli.home if exists else cli.home.parent
    owned.mkdir(exist_ok=True)
    os.chown(owned, USER, USER)
    monkeypatch.setenv("SUDO_UID", str(USER))

    told = cli("status")

    assert told.status == 5
    assert "without sudo" in told.err


def test_root_under_sudo_works_in_a_home_of_its_own(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.xhyvefile('box = "micro"\n')
    monkeypatch.setenv("SUDO_UID", str(USER))

    assert cli("status").status == 0
