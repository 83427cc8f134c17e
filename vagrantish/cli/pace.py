"""How fast bytes come, and how long the rest takes, from the progress that is told."""

from __future__ import annotations

import time
from collections import deque

from vagrantish.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vagrantish.events import Progress

_WINDOW_S = 5.0


class Pace:
    """Of one step, over its last seconds; what was there before it began does not count."""

    def __init__(self, window_s: float = _WINDOW_S) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, int]] = deque()

    def move(self, event: Progress) -> None:
        now = time.monotonic()
        if self._samples and event.done < self._samples[-1][1]:
            self._samples.clear()  # begun anew
        self._samples.append((now, event.done))
        while len(self._samples) > 2 and now - self._samples[0][0] > self._window_s:
            self._samples.popleft()

    @property
    def per_second(self) -> float:
        if len(self._samples) < 2:
            return 0.0
        (began, first), (ended, last) = self._samples[0], self._samples[-1]
        return (last - first) / (ended - began) if ended > began else 0.0

    def words(self, event: Progress) -> list[str]:
        """``["1.2MiB/s", "0:42 left"]``, as far as they are known; nothing for other units."""
        rate = self.per_second
        if event.unit != "B" or rate <= 0:
            return []
        words = [f"{format_size(int(rate))}/s"]
        if event.total and event.done < event.total:
            words.append(f"{_clock(round((event.total - event.done) / rate))} left")
        return words


def _clock(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    if hours:
        return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{rest // 60}:{rest % 60:02d}"
