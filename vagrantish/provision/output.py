"""A guest's output as lines fit to show: printable, bounded, and without secrets."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from vagrantish.formats.guesttext import printable
from vagrantish.model import ShellStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vagrantish.model import Step

MASK = "***"
# Shorter ones would turn half of every output into stars, and hide nothing.
_SECRET_MIN = 4
_BUFFER_MAX = 1 << 16
_LINE_MAX = 2000  # characters; longer lines are shown in pieces
_LINES_A_SECOND = 400
_TAIL = 10


class Masker:
    """Puts stars where a secret is."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        lines = {line.strip() for secret in secrets for line in secret.splitlines()}
        kept = {line for line in lines if len(line) >= _SECRET_MIN}
        self._secrets = tuple(sorted(kept, key=len, reverse=True))
        self._raw = tuple(secret.encode("utf-8", "surrogateescape") for secret in self._secrets)
        self.longest = max(map(len, self._raw), default=0)

    def hide(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def hide_bytes(self, data: bytes) -> bytes:
        for secret in self._raw:
            data = data.replace(secret, MASK.encode())
        return data


def masker_of(steps: Iterable[Step]) -> Masker:
    """Hides what sensitive steps are given, in whatever step it turns up."""
    sensitive = (step for step in steps if isinstance(step, ShellStep) and step.sensitive)
    return Masker(value for step in sensitive for value in (*step.env.values(), *step.args))


class Lines:
    """Where the lines of a step go: the first of each second to ``emit``, the last kept."""

    def __init__(
        self, emit: Callable[[str], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._emit = emit
        self._clock = clock
        self._second = 0.0
        self._shown = 0
        self._left_out = 0
        self._tail: deque[str] = deque(maxlen=_TAIL)

    @property
    def tail(self) -> tuple[str, ...]:
        return tuple(line for line in self._tail if line.strip())

    def add(self, line: str) -> None:
        now = self._clock()
        if now - self._second >= 1:
            self._tell()
            self._second, self._shown = now, 0
        for start in range(0, max(1, len(line)), _LINE_MAX):
            piece = line[start : start + _LINE_MAX]
            self._tail.append(piece)
            self._shown += 1
            if self._shown <= _LINES_A_SECOND:
                self._emit(piece)
            else:
                self._left_out += 1

    def close(self) -> None:
        self._tell()

    def _tell(self) -> None:
        if self._left_out:
            self._emit(f"[{self._left_out} lines left out: more than can be shown]")
            self._left_out = 0


class Stream:
    """One of a command's two streams, cut into lines."""

    def __init__(self, lines: Lines, masker: Masker) -> None:
        self._lines = lines
        self._masker = masker
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        *whole, self._buffer = (self._buffer + data).split(b"\n")
        for line in whole:
            self._add(line)
        if len(self._buffer) > _BUFFER_MAX:
            # What may be the start of a secret stays back until the rest of it is here.
            hidden = self._masker.hide_bytes(self._buffer)
            cut = len(hidden) - self._masker.longest
            self._add(hidden[:cut])
            self._buffer = hidden[cut:]

    def close(self) -> None:
        if self._buffer:
            self._add(self._buffer)
            self._buffer = b""

    def _add(self, line: bytes) -> None:
        self._lines.add(self._masker.hide(printable(self._masker.hide_bytes(line))))
