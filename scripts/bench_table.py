"""What the benchmark's modules share: measurements, the promises they are held to, a table."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
HEADER = ("", "by hand", "with vx", "vx is", "allowed", "")
_FACTORS = {"s": 1.0, "ms": 1000.0, "MB": 1e-6, "x": 1.0}
_DIGITS = {"s": 2, "ms": 0, "MB": 0, "x": 2}


@dataclass
class Series:
    """One thing measured again and again: in seconds, bytes (shown as MB) or as a ratio."""

    values: list[float] = field(default_factory=list)
    unit: str = "s"

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        if not self.values:
            return "not seen"
        unit = "ms" if self.unit == "s" and self.median < 0.2 else self.unit
        low, middle, high = (
            f"{value * _FACTORS[unit]:.{_DIGITS[unit]}f}"
            for value in (min(self.values), self.median, max(self.values))
        )
        gap = "" if unit == "x" else " "
        return f"{middle}{gap}{unit} ({low} to {high})"


@dataclass
class Row:
    """A promise: what was measured, what it is held against, and what is allowed."""

    title: str
    base: Series
    vx: Series
    plus_s: float | None = None  # vx may take so much longer than base
    times: float | None = None  # vx may take so many times base
    at_least: float | None = None  # vx is at least so many times as fast
    at_most: float | None = None  # vx may take so much

    @property
    def is_promise(self) -> bool:
        bounds = (self.plus_s, self.times, self.at_least, self.at_most)
        return any(bound is not None for bound in bounds)

    def kept(self) -> bool:
        if not self.vx.values:
            return False
        if self.plus_s is not None:
            return self.vx.median - self.base.median <= self.plus_s
        if self.times is not None:
            return self.vx.median <= self.times * self.base.median
        if self.at_least is not None:
            return self.base.median >= self.at_least * self.vx.median
        return self.at_most is None or self.vx.median <= self.at_most

    def cells(self) -> tuple[str, ...]:
        verdict = ("kept" if self.kept() else "MISSED") if self.is_promise else ""
        base = str(self.base) if self.base.values else ""
        return (self.title, base, str(self.vx), self._compared(), self._allowed(), verdict)

    def _compared(self) -> str:
        if not self.base.values or not self.vx.values:
            return ""
        if self.at_least is not None:
            return f"{self.base.median / self.vx.median:.2f}x as fast"
        ratio = f"{self.vx.median / self.base.median:.2f}x"
        if self.base.unit != "s":
            return ratio
        return f"{self.vx.median - self.base.median:+.2f} s, {ratio}"

    def _allowed(self) -> str:
        if self.plus_s is not None:
            return f"+{self.plus_s:.2f} s"
        if self.times is not None:
            return f"{self.times:g}x"
        if self.at_least is not None:
            return f"{self.at_least:g}x as fast"
        if self.at_most is None:
            return ""
        gap = "" if self.vx.unit == "x" else " "
        return (
            f"{self.at_most * _FACTORS[self.vx.unit]:.{_DIGITS[self.vx.unit]}f}{gap}{self.vx.unit}"
        )


@contextmanager
def timed(series: Series) -> Iterator[None]:
    began = time.monotonic()
    yield
    series.values.append(time.monotonic() - began)


@dataclass(frozen=True)
class Took:
    """What a process and its children took."""

    wall_s: float
    cpu_s: float
    printed: str


def took(*command: str | Path, env: Mapping[str, str] | None = None, folder: Path = ROOT) -> Took:
    """Run it to its end. Raises SystemExit with what it said when it fails."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    # Neither the programs nor vx say more than a pipe holds.
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    printed, complaint = process.communicate()
    if process.returncode != 0:
        words = " ".join(map(str, command))
        raise SystemExit(f"{words[:500]} ended with {process.returncode}:\n{complaint}")
    return Took(wall_s, usage.ru_utime + usage.ru_stime, printed)


def table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
