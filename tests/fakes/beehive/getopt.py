"""BSD's getopt, with what it leaves over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fakes.hyve.cscan import BadOption, basename

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BadOption", "getopt"]


def getopt(argv: Sequence[str], letters: str) -> tuple[list[tuple[str, str]], list[str]]:
    """(letter, value or ""), and the operands: it stops at the first. Raises BadOption."""
    prog = basename(argv[0])
    found: list[tuple[str, str]] = []
    rest = list(argv[1:])
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        while word := word[1:]:
            letter = word[0]
            place = -1 if letter == ":" else letters.find(letter)
            if place < 0:
                raise BadOption(f"{prog}: illegal option -- {letter}")
            if letters[place + 1 : place + 2] != ":":
                found.append((letter, ""))
                continue
            if not word[1:] and not rest:
                raise BadOption(f"{prog}: option requires an argument -- {letter}")
            found.append((letter, word[1:] or rest.pop(0)))
            break
    return found, rest
