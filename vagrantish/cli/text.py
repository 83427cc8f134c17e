"""Text for a terminal: aligned columns, and lines of any length and origin."""

from __future__ import annotations

from vagrantish.formats.guesttext import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LINE_MAX = 4000  # characters shown of one line of a guest
_GAP = "  "


def columns(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as vx shows every table: two spaces between columns, nothing after the last."""
    table = [[one_line(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
    return "\n".join(lines)


def one_line(text: str) -> str:
    return clean(text).replace("\n", " ")


def guest_line(line: str) -> str:
    """A line of a guest as shown: of what overwrote itself the last, cut at a sane length."""
    if "\r" in line:
        line = line.rstrip("\r").rpartition("\r")[2]
    shown = one_line(line[:LINE_MAX])
    left = len(line) - LINE_MAX
    return f"{shown} [{left} more characters]" if left > 0 else shown
