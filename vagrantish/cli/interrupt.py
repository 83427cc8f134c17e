"""Ctrl-C and its kin: the first asks vx to stop, the second ends it."""

from __future__ import annotations

import signal
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TELLING_S = 0.05


class Interrupts:
    """While entered, the first signal calls ``on_first`` and raises KeyboardInterrupt.

    The raise breaks whatever the main thread waits in. From then on the signals have their
    default effect, so that a second one ends vx even where it hangs. What the starter of vx
    had ignored (nohup) stays ignored. Does nothing outside the main thread.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self._on_first = on_first
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._interrupted)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _interrupted(self, _number: int, _frame: FrameType | None) -> None:
        for number in self._before:
            signal.signal(number, signal.SIG_DFL)
        # Not called here: it may wait for a lock that the interrupted code holds in this thread.
        teller = threading.Thread(target=self._on_first, daemon=True)
        teller.start()
        teller.join(_TELLING_S)
        raise KeyboardInterrupt
