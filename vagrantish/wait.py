"""The only waiting loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.events import Cancel

T = TypeVar("T")


def poll_until(
    probe: Callable[[], T | None], *, timeout_s: float, interval_s: float, cancel: Cancel
) -> T | None:
    """What ``probe`` first answers that is not None, or None after ``timeout_s``.

    ``probe`` raises to end the wait early (the guest died, say). Raises Cancelled.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        cancel.check()
        answer = probe()
        if answer is not None:
            return answer
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        cancel.sleep(min(interval_s, left))
