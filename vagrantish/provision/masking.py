"""Secrets of sensitive steps never reach a line that anybody sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.model import ShellStep

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vagrantish.model import Step

MASK = "***"
# Shorter values ("1", "no") are in every other line, and hiding those would hide nothing.
_SHORTEST = 3


class Mask:
    """Hides the env values and arguments of every sensitive step, whichever step prints them."""

    def __init__(self, steps: Iterable[Step]) -> None:
        values = {
            line
            for step in steps
            if isinstance(step, ShellStep) and step.sensitive
            for value in (*step.env.values(), *step.args)
            for line in (value, *value.splitlines())
            if len(line.strip()) >= _SHORTEST
        }
        # The longest first: one secret may be the beginning of another.
        self._values = sorted(values, key=len, reverse=True)
        self._raw = [value.encode("utf-8", "surrogateescape") for value in self._values]
        self.longest_bytes = max(map(len, self._raw), default=0)

    def __call__(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, MASK)
        return text

    def bytes(self, data: bytes) -> bytes:
        """The same before anything is cut or decoded."""
        for value in self._raw:
            data = data.replace(value, MASK.encode())
        return data
