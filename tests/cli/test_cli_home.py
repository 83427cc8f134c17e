"""A VX_HOME that the way into a guest could not use is refused before anything is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Vx


def test_a_home_that_ssh_cannot_be_told_of_is_refused_by_up(vx: Vx, tmp_path: Path) -> None:
    home = tmp_path / 'a"b'
    vx.xhyvefile('box = "micro"\n')

    refused = vx.run("up", status=5, env={"VX_HOME": str(home)})

    assert "Point VX_HOME at a folder without one" in refused.stderr
    assert not home.exists()
