"""Several pieces of work at once, in threads that all end before the caller goes on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vagrantish.events import Op

R = TypeVar("R")

_WAKE_S = 0.2  # how late a Ctrl-C may be noticed by the thread that waits for the others


def gather(work: Sequence[Callable[[Op], R]], *, at_once: int, op: Op) -> tuple[R, ...]:
    """What each piece answers, in order. All end first; then the first failure is raised."""
    if len(work) == 1:
        return (work[0](op),)
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="vx-work") as pool:
        futures = [pool.submit(piece, op) for piece in work]
        try:
            waiting = set(futures)
            while waiting:
                _, waiting = wait(waiting, timeout=_WAKE_S)
        except BaseException:
            op.cancel.set()
            for future in futures:
                future.cancel()
            raise
    return tuple(future.result() for future in futures)
