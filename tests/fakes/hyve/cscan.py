"""Text to numbers and words as C's library does it: atoi, strtoul, scanf, BSD getopt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ULONG_MAX = 2**64 - 1
_SPACE = " \t\n\v\f\r"


class BadOption(Exception):
    """The message has no newline."""


def options(argv: Sequence[str], letters: str) -> Iterator[tuple[str, str | None]]:
    """BSD's getopt, which stops at the first operand and knows no long options."""
    prog = basename(argv[0])
    index = 1
    while index < len(argv):
        word = argv[index]
        if not word.startswith("-") or word in {"-", "--"}:
            return
        index += 1
        at = 1
        while at < len(word):
            letter = word[at]
            at += 1
            place = -1 if letter == ":" else letters.find(letter)
            if place < 0:
                raise BadOption(f"{prog}: illegal option -- {letter}")
            if letters[place + 1 : place + 2] != ":":
                yield letter, None
                continue
            if at < len(word):
                yield letter, word[at:]
            elif index < len(argv):
                yield letter, argv[index]
                index += 1
            else:
                raise BadOption(f"{prog}: option requires an argument -- {letter}")
            break


def basename(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or path


def atoi(text: str) -> int:
    found = re.match(rf"[{_SPACE}]*([+-]?[0-9]+)", text, re.ASCII)
    return _int32(int(found[1])) if found else 0


def strtoul(text: str) -> tuple[int, str, bool]:
    """The number in base 0, what follows it, and whether it was too large."""
    found = re.match(rf"[{_SPACE}]*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)", text, re.ASCII)
    if not found:
        return 0, text, False
    digits = found[2]
    number = int(digits, 16 if digits[1:2] in {"x", "X"} else 8 if digits[0] == "0" else 10)
    rest = text[found.end() :]
    if number > ULONG_MAX:
        return ULONG_MAX, rest, True
    return -number % 2**64 if found[1] == "-" else number, rest, False


def scan_decimals(text: str, *, most: int) -> list[int]:
    """What ``sscanf(text, "%d:%d:%d")`` converts; what follows does not matter to it."""
    found: list[int] = []
    rest = text
    while len(found) < most:
        number = re.match(rf"[{_SPACE}]*([+-]?[0-9]+)", rest, re.ASCII)
        if not number:
            break
        found.append(_int32(int(number[1])))
        rest = rest[number.end() :]
        if not rest.startswith(":"):
            break
        rest = rest[1:]
    return found


def scan_hex(text: str, widths: Sequence[int | str]) -> list[int]:
    """``%Nx`` for each number, a literal for each text; ends at the first that does not fit."""
    found: list[int] = []
    for item in widths:
        if isinstance(item, str):
            if not text.startswith(item):
                break
            text = text[len(item) :]
            continue
        text = text.lstrip(_SPACE)
        number = re.match(r"[+-]?(0[xX](?=[0-9a-fA-F]))?[0-9a-fA-F]+", text[:item], re.ASCII)
        if not number:
            break
        found.append(int(number[0], 16))
        text = text[number.end() :]
    return found


def _int32(number: int) -> int:
    return (number + 2**31) % 2**32 - 2**31
