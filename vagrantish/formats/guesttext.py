"""Bytes a guest wrote, made into text that a terminal only shows and never obeys."""

from __future__ import annotations

import re

# ECMA-48: CSI with its parameters, OSC and its kin up to their end, any other escape.
_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-Z\\^-~]?"
)
_DROPPED = {
    **dict.fromkeys(range(0x20)),
    **dict.fromkeys(range(0x7F, 0xA0)),
    # Bidirectional controls show text in another order than it has (Unicode TR 36).
    **dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]),
    **dict.fromkeys([0x2028, 0x2029], " "),
    0x09: "    ",
}


def printable(raw: bytes) -> str:
    """One line of a guest: of a text that overwrote itself the last, undecodable bytes as U+FFFD."""
    text = raw.decode("utf-8", "replace").rstrip("\r\n")
    if text.isascii() and text.isprintable():
        return text
    text = _SEQUENCE.sub("", text).rstrip("\r").rpartition("\r")[2]
    return text.translate(_DROPPED)
