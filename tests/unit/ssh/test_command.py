"""The wording of commands, and the marker that tells their process group."""

from __future__ import annotations

import shlex

import pytest

from vagrantish.ssh.command import GroupMarker, ending, grouped


def test_a_command_is_one_word_to_every_login_shell() -> None:
    words = shlex.split(grouped("echo 'a b' \"$HOME\"\nexit 3", "vx-1"))

    assert words[:3] == ["exec", "/bin/sh", "-c"]
    assert words[-1] == "echo vx-1 $$ >&2\necho 'a b' \"$HOME\"\nexit 3"


def test_the_marker_is_taken_out_wherever_it_is_cut() -> None:
    stream = b"noise of a shell\nvx-1 4711\nwarning\nmore"
    for cut in range(len(stream)):
        marker = GroupMarker("vx-1")

        seen = marker.feed(stream[:cut]) + marker.feed(stream[cut:]) + marker.rest()

        assert (seen, marker.group) == (b"noise of a shell\nwarning\nmore", 4711)


@pytest.mark.parametrize("number", [b"0", b"1", b"-1", b"x", b""])
def test_a_group_that_would_mean_everybody_is_not_believed(number: bytes) -> None:
    marker = GroupMarker("vx-1")

    marker.feed(b"vx-1 " + number + b"\n")

    assert marker.group is None


def test_without_a_marker_all_of_it_is_the_commands() -> None:
    marker = GroupMarker("vx-1")

    seen = marker.feed(b"a" * 100_000) + marker.feed(b"b")

    assert (len(seen), marker.group) == (100_001, None)


def test_ending_names_the_group_only() -> None:
    assert "group=4711 token=vx-1" in ending(4711, "vx-1")
