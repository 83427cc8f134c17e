"""Tables, and text of strangers made harmless."""

from __future__ import annotations

import pytest

from vagrantish.cli.text import LINE_MAX, columns, guest_line
from vagrantish.formats.guesttext import clean


def test_columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() -> None:
    table = columns(("NAME", "STATE"), [("web", "running"), ("database", "-")])

    assert table.split("\n") == ["NAME      STATE", "web       running", "database  -"]


def test_a_cell_cannot_break_the_table() -> None:
    assert columns(("A", "B"), [("x\ny", "\x1b[2Jz")]).split("\n") == ["A    B", "x y  z"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grün ✓ 日本", "grün ✓ 日本"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;5;196mred", "red"),
        ("a\x1b]0;new title\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        ("a\x1bPq#0;2;0\x1b\\b", "ab"),
        ("\x9b31mred", "red"),
        ("\x1b(Bcharset", "charset"),
        ("\x1bcreset", "reset"),
        ("bell\x07 back\x08 del\x7f nul\x00", "bell back del nul"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("tab\tstop", "tab    stop"),
        ("two\nlines", "two\nlines"),
        ("dos\r\nlines", "dos\nlines"),
        ("unfinished \x1b[31", "unfinished 31"),
        ("unfinished \x1b]0;title", "unfinished "),
        ("\udcff", "?"),
    ],
)
def test_clean_leaves_nothing_a_terminal_obeys(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("10%\r20%\r100%", "100%"),
        ("done\r", "done"),
        ("one\ntwo", "one two"),
        ("\x1b[2Khello", "hello"),
    ],
)
def test_a_guest_line_is_shown_as_it_looked_at_the_end(line: str, shown: str) -> None:
    assert guest_line(line) == shown


def test_a_guest_line_without_an_end_is_cut() -> None:
    shown = guest_line("x" * 1_000_000)

    assert len(shown) < LINE_MAX + 50
    assert shown.endswith(f"[{1_000_000 - LINE_MAX} more characters]")
