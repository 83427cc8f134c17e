"""Sizes and durations."""

from __future__ import annotations

import pytest

from vagrantish.units import GIB, MIB, format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GiB", GIB), ("512 MiB", 512 * MIB), ("1.5GiB", GIB + 512 * MIB), ("2GB", 2 * 10**9)],
)
def test_a_size_with_its_unit_is_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("512", "no unit"),
        ("1XB", "unknown unit"),
        ("lots", "not a number"),
        ("-1GiB", "not a number"),
        ("0.3B", "whole number"),
        ("", "not a number"),
    ],
)
def test_a_bad_size_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("250ms", 0.25), ("1h", 3600)]
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["90", "1d", "soon"])
def test_a_bad_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_duration(text)


@pytest.mark.parametrize(
    ("size", "text"), [(GIB, "1GiB"), (4 * MIB + MIB // 10, "4.1MiB"), (3, "3B")]
)
def test_sizes_are_shown_short(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(("seconds", "text"), [(2.64, "2.6 s"), (61, "1 min 1 s")])
def test_durations_are_shown_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
