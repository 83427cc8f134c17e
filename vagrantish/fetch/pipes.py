"""Bytes from one thread to another, in order, with a bound on how many wait."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from vagrantish.fetch.transport import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vagrantish.events import Cancel
    from vagrantish.fetch.transport import Answer

_WAITING_MAX = 8 << 20
_LOOK_S = 0.1  # how often a wait looks whether the user asked to stop
_PARTING_S = 1.0


class Pipe:
    """Ends with ``end``; an error given there is raised by ``get`` after what came before."""

    def __init__(self, waiting_max: int = _WAITING_MAX) -> None:
        self._max = waiting_max
        self._items: deque[bytes] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None

    def put(self, data: bytes) -> bool:
        """Waits for room. False when nobody reads any more."""
        with self._changed:
            while self._waiting >= self._max and not self._closed:
                self._changed.wait()
            self._items.append(data)
            self._waiting += len(data)
            self._changed.notify_all()
            return not self._closed

    def end(self, error: BaseException | None = None) -> None:
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify_all()

    def get(self, timeout_s: float | None = None) -> bytes | None:
        """The next bytes, b"" at the end, None when nothing came in time."""
        with self._changed:
            if not self._items and not self._ended:
                self._changed.wait(timeout_s)
            if self._items:
                data = self._items.popleft()
                self._waiting -= len(data)
                self._changed.notify_all()
                return data
            if self._ended and self._error is not None:
                raise self._error
            return b"" if self._ended else None

    def close(self) -> None:
        """The reader goes away: ``put`` does not wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Feed:
    """Hands bytes in order to something slow, in a thread of its own.

    What ``take`` raises comes out of the next ``put`` or of ``drain``.
    """

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self._pipe = Pipe()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        if self._error is not None:
            raise self._error
        self._pipe.put(data)

    def drain(self) -> None:
        """Wait until all is taken; nothing can be put after it."""
        self._pipe.end()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """The same for one that is given up: nothing is raised."""
        self._pipe.end()
        self._thread.join()

    def _run(self) -> None:
        while data := self._pipe.get():
            if self._error is not None:
                continue  # goes on reading, so that `put` never waits for ever
            try:
                self._take(data)
            except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
                self._error = error


class Incoming:
    """A server's answer, awaited and read in a thread of its own: a silent server delays no Ctrl-C."""

    def __init__(self, ask: Callable[[], Answer]) -> None:
        self._ask = ask
        self._answer: Answer | None = None
        self._answered = threading.Event()
        self._pipe = Pipe()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def answer(self, cancel: Cancel) -> Answer:
        """Raises Trouble, Cancelled."""
        while not self._answered.wait(_LOOK_S):
            cancel.check()
        if self._answer is None:
            self._pipe.get()  # raises
            raise Trouble("the connection broke off", passing=True)
        return self._answer

    def pieces(self, cancel: Cancel) -> Iterator[bytes]:
        """Raises Trouble, Cancelled."""
        while (data := self._pipe.get(_LOOK_S)) != b"":
            cancel.check()
            if data:
                yield data

    def close(self) -> None:
        """The connection is given back when all was read, else ended."""
        self._closed = True
        self._pipe.close()
        if self._answer is not None and self._thread.is_alive():
            self._answer.interrupt()
        # A thread that still waits for a connection ends with its own timeout.
        self._thread.join(_PARTING_S if self._answer is not None else 0)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            answer = self._ask()
            self._answer = answer
            self._answered.set()
            try:
                while not self._closed and (data := answer.read()):
                    if not self._pipe.put(data):
                        break
            finally:
                answer.close()
        except BaseException as failure:  # noqa: BLE001  raised again in the caller's thread
            error = failure
        self._pipe.end(error)
        self._answered.set()
