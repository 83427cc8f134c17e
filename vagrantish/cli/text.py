"""Text for a terminal: aligned columns, and strangers' bytes made harmless."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LINE_MAX = 4000  # characters shown of one line of a guest
_GAP = "  "

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


def columns(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as vx shows every table: two spaces between columns, nothing after the last."""
    table = [[one_line(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
    return "\n".join(lines)


def clean(text: str) -> str:
    """``text`` without anything a terminal would obey, its lines kept."""
    if text.isascii() and text.isprintable():
        return text
    if "\x1b" in text or "\x9b" in text:
        text = _without_sequences(text)
    text = text.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be written
    return text.replace("\r\n", "\n").translate(_HARMLESS)


def one_line(text: str) -> str:
    return clean(text).replace("\n", " ")


def guest_line(line: str) -> str:
    """A line of a guest as shown: of what overwrote itself the last, cut at a sane length."""
    if "\r" in line:
        line = line.rstrip("\r").rpartition("\r")[2]
    shown = one_line(line[:LINE_MAX])
    left = len(line) - LINE_MAX
    return f"{shown} [{left} more characters]" if left > 0 else shown


def _without_sequences(text: str) -> str:
    import re

    # ECMA-48: CSI … final byte; OSC, DCS, SOS, PM, APC … up to BEL or ST; any other two-byte escape.
    pattern = (
        r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
        r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
        r"|\x1b[ -/]*[0-~]"
    )
    return re.sub(pattern, "", text)
