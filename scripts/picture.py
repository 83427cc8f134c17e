"""Draw what a command shows on a terminal as an SVG, from a real run.

The picture in the README: scripts/picture.py --first '$ vx up' docs/images/demo.svg scripts/demo.sh
"""

from __future__ import annotations

import argparse
import codecs
import fcntl
import io
import itertools
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from operator import itemgetter
from pathlib import Path

from rich.console import Console
from rich.text import Text

# What a progress display writes: colours, the cursor up or down, a line or the rest erased.
_CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b[()=>][0-9A-Za-z]?|[\r\n\b]")
_FONT_FROM_AFAR = re.compile(r"@font-face\s*\{.*?\}\s*", re.DOTALL)


class Screen:
    """A terminal of endless height: characters, each with the colours that were on."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines: list[list[tuple[str, str]]] = [[]]
        self.row = self.column = 0
        self.style = ""

    def feed(self, text: str) -> None:
        at = 0
        for match in _CONTROL.finditer(text):
            self._write(text[at : match.start()])
            self._control(match)
            at = match.end()
        self._write(text[at:])

    def _write(self, text: str) -> None:
        for character in text:
            if self.column >= self.width:
                self._go(self.row + 1, 0)
            line = self.lines[self.row]
            line.extend([(" ", "")] * (self.column + 1 - len(line)))
            line[self.column] = (character, self.style)
            self.column += 1

    def _control(self, match: re.Match[str]) -> None:
        arguments, letter = match.group(1) or "", match.group(2)
        count = int(arguments) if arguments.isdigit() else 1
        if match[0] == "\r":
            self.column = 0
        elif match[0] == "\n":
            self._go(self.row + 1, self.column)
        elif match[0] == "\b":
            self.column = max(0, self.column - 1)
        elif letter == "A":
            self._go(self.row - count, self.column)
        elif letter == "B":
            self._go(self.row + count, self.column)
        elif letter == "K":
            keep = 0 if arguments == "2" else self.column
            del self.lines[self.row][keep:]
        elif letter == "J":
            del self.lines[self.row][self.column :]
            del self.lines[self.row + 1 :]
        elif letter == "m":
            self.style = "" if arguments in ("", "0") else f"{self.style}\x1b[{arguments}m"

    def _go(self, row: int, column: int) -> None:
        self.row, self.column = max(0, row), column
        while self.row >= len(self.lines):
            self.lines.append([])

    def ansi_lines(self) -> list[str]:
        """Each line with its colours, self-contained."""
        return [
            "".join(
                f"{style}{''.join(character for character, _ in run)}\x1b[0m"
                for style, run in itertools.groupby(line, key=itemgetter(1))
            )
            for line in self.lines
        ]

    def plain_lines(self) -> list[str]:
        return ["".join(character for character, _ in line).rstrip() for line in self.lines]


def run(command: list[str], screen: Screen) -> int:
    """Run ``command`` on a terminal of its own and show there what it writes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, screen.width, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI")}
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=env | {"TERM": "xterm-256color", "LANG": "C.UTF-8", "COLUMNS": str(screen.width)},
        start_new_session=True,
    )
    os.close(theirs)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pending = ""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # Linux: the other end is closed
            data = b""
        if not data:
            break
        pending += decoder.decode(data)
        whole = pending.rfind("\x1b", max(0, len(pending) - 16))  # maybe a sequence cut in two
        cut = whole if whole >= 0 and not _CONTROL.match(pending, whole) else len(pending)
        screen.feed(pending[:cut])
        pending = pending[cut:]
    os.close(ours)
    return process.wait()


def draw(lines: list[str], width: int, title: str) -> str:
    console = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for line in lines:
        console.print(Text.from_ansi(line), no_wrap=True, crop=False, highlight=False)
    return _FONT_FROM_AFAR.sub("", console.export_svg(title=title))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--first", default="", metavar="TEXT", help="leave out what is before TEXT")
    parser.add_argument(
        "--last", default="", metavar="TEXT", help="leave out TEXT and what follows"
    )
    parser.add_argument("--width", type=int, default=92)
    parser.add_argument("--title", default="make demo")
    parser.add_argument("svg", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    screen = Screen(args.width)
    status = run(args.command, screen)
    plain = screen.plain_lines()
    if status != 0:
        print("\n".join(plain), file=sys.stderr)
        return status
    first = next((i for i, line in enumerate(plain) if args.first and line == args.first), 0)
    last = next((i for i, line in enumerate(plain) if args.last and line == args.last), len(plain))
    lines = screen.ansi_lines()[first:last]
    while lines and not lines[-1].strip():
        lines.pop()
    args.svg.write_text(draw(lines, args.width, args.title), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
