"""Text of strangers, made into what a terminal only shows."""

from __future__ import annotations

import pytest

from vagrantish.formats.guesttext import printable


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain", "plain"),
        (b"\x1b[1;31mred\x1b[0m\r", "red"),
        (b"\x1b]0;title\x07after\x1b(B\x1b=", "after"),
        (b"\x1b[2J\x1b[1;1Hclear", "clear"),
        (b" 10%\r 50%\r100%", "100%"),
        (b"tab\there", "tab    here"),
        (b"bell\x07 nul\x00 bs\x08", "bell nul bs"),
        (b"caf\xc3\xa9 \xff\xfe", "café \ufffd\ufffd"),
        ("a\u202eb\u2028c\x9b31m".encode(), "ab c"),
        (b"\x1b", ""),
        (b"\x1bPq..\x1b\\x", "x"),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out(raw: bytes, shown: str) -> None:
    assert printable(raw) == shown
