"""Text that strangers wrote, made into what a terminal only shows and never obeys."""

from __future__ import annotations

# Control characters move cursors, set titles and answer queries; the bidirectional ones show text
# in another order than it has (Unicode TR 36). A tab and an end of line are all a line needs.
_HARMLESS = {
    **dict.fromkeys(range(0x20)),
    **dict.fromkeys(range(0x7F, 0xA0)),
    **dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]),
    0x09: "    ",
    0x0A: "\n",
    0x2028: "\n",
    0x2029: "\n",
}


def clean(text: str) -> str:
    """``text`` without anything a terminal would obey, its lines kept."""
    if text.isascii() and text.isprintable():
        return text
    text = _without_sequences(text)
    text = text.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be written
    return text.replace("\r\n", "\n").translate(_HARMLESS)


def printable(raw: bytes) -> str:
    """One line of a guest: of a text that overwrote itself the last, undecodable bytes as U+FFFD."""
    text = raw.decode("utf-8", "replace").rstrip("\r\n")
    if text.isascii() and text.isprintable():
        return text
    text = _without_sequences(text).rstrip("\r").rpartition("\r")[2]
    return clean(text).replace("\n", " ")


def _without_sequences(text: str) -> str:
    if "\x1b" not in text and "\x9b" not in text:
        return text
    import re

    # ECMA-48: CSI … final byte; OSC, DCS, SOS, PM, APC … up to BEL or ST; any other two-byte escape.
    pattern = (
        r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
        r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
        r"|\x1b[ -/]*[0-~]"
    )
    return re.sub(pattern, "", text)
