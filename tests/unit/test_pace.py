"""Rate and time left, as they are told."""

from __future__ import annotations

import time

import pytest

from vagrantish.cli.pace import Pace
from vagrantish.events import Progress


def told(done: int, total: int | None = None, unit: str = "B") -> Progress:
    return Progress("", "fetch", done, total, unit)


def test_the_rate_counts_from_where_the_download_went_on() -> None:
    pace = Pace()
    pace.move(told(1_000_000_000, 1_000_100_000))
    time.sleep(0.05)
    pace.move(told(1_000_010_000, 1_000_100_000))

    rate, left = pace.words(told(1_000_010_000, 1_000_100_000))

    assert pace.per_second <= 200_000
    assert rate.endswith("KiB/s")
    assert left == "0:00 left" or left.startswith("0:")


def test_a_download_begun_anew_is_measured_anew() -> None:
    pace = Pace()
    pace.move(told(5000))
    pace.move(told(0))

    assert pace.per_second == 0


@pytest.mark.parametrize("event", [told(1, 3, "files"), told(0, 10)])
def test_nothing_is_said_where_nothing_is_known(event: Progress) -> None:
    pace = Pace()
    pace.move(event)

    assert pace.words(event) == []


def test_more_than_an_hour_is_told_in_hours() -> None:
    pace = Pace()
    pace.move(told(0))
    time.sleep(0.02)
    pace.move(told(1))

    assert pace.words(told(1, 10_000_000))[1].count(":") == 2
