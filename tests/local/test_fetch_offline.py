"""Offline means offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vagrantish.errors import FetchError
from vagrantish.events import Cancel, Op
from vagrantish.fetch import fetch
from vagrantish.model import Digest
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.events import Event


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event, /) -> None:
        self.events.append(event)


def test_nothing_is_asked_of_the_network(tmp_path: Path) -> None:
    digest = Digest(algorithm="sha256", hex="0" * 64)
    op = Op(Recorder(), Cancel(), offline=True)

    with pytest.raises(FetchError, match="offline") as caught:
        fetch(
            "http://127.0.0.1:9/kernel",
            digest=digest,
            target=tmp_path / "k",
            max_bytes=1,
            home=VxHome(tmp_path / "home"),
            op=op,
        )

    assert "--offline" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
