"""Several requests at once for one file, where a server gives each connection only so much."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.fetch.pipes import Incoming
from vagrantish.fetch.transport import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vagrantish.events import Cancel
    from vagrantish.fetch.transport import Answer


@dataclass(frozen=True, kw_only=True)
class Haste:
    """When one stream is too slow, and what is done then.

    A fast line gains nothing: four streams over loopback take as long as one.
    """

    connections: int = 4
    block_bytes: int = 8 << 20  # of each connection, and so held in memory
    worth_bytes: int = 64 << 20  # with less to go it is not worth it
    slow_bytes_s: float = 8 << 20
    watch_s: float = 3.0  # how long the one stream is watched

    def watch(self) -> Watch:
        return Watch(self)


class Watch:
    """Is one stream slow? Known after ``watch_s``."""

    def __init__(self, haste: Haste) -> None:
        self._haste = haste
        self._since = time.monotonic()
        self._bytes = 0

    def is_slow(self, count: int) -> bool:
        """``count`` bytes more have come."""
        self._bytes += count
        took_s = time.monotonic() - self._since
        return took_s >= self._haste.watch_s and self._bytes < self._haste.slow_bytes_s * took_s


def in_blocks(
    ask: Callable[[int, int], Answer], start: int, total: int, haste: Haste, cancel: Cancel
) -> Iterator[bytes]:
    """The bytes from ``start`` on, in order. ``ask`` gets the first and the last byte.

    Raises Trouble as soon as one block is not what was asked for, Cancelled.
    """
    window: deque[tuple[Incoming, int]] = deque()
    next_start = start
    try:
        while window or next_start < total:
            while next_start < total and len(window) < haste.connections:
                end = min(total, next_start + haste.block_bytes)
                window.append((_block(ask, next_start, end, total), end - next_start))
                next_start = end
            incoming, missing = window.popleft()
            try:
                for data in incoming.pieces(cancel):
                    missing -= len(data)
                    if missing < 0:
                        raise Trouble("the server sent more than it was asked for", passing=True)
                    yield data
            finally:
                incoming.close()
            if missing:
                raise Trouble("the connection broke off", passing=True)
    finally:
        for incoming, _ in window:
            incoming.close()


def _block(ask: Callable[[int, int], Answer], start: int, end: int, total: int) -> Incoming:
    def ask_for_it() -> Answer:
        answer = ask(start, end - 1)
        if answer.status != 206 or answer.content_range != (start, end - 1, total):
            answer.close()
            raise Trouble(
                "the server answers with another part than it was asked for", passing=True
            )
        return answer

    return Incoming(ask_for_it)
