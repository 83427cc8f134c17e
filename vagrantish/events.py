"""What long work tells whoever watches, and how it is asked to stop."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class StepStarted:
    machine: str  # "" when the work belongs to no machine
    name: str  # stable word: "boot", "fetch", "provision:motd"
    text: str  # for people: "Booting"


@dataclass(frozen=True)
class StepFinished:
    machine: str
    name: str
    ok: bool
    seconds: float
    text: str = ""  # what came of it: "ready in 2.6 s"


@dataclass(frozen=True)
class Progress:
    machine: str
    name: str
    done: int
    total: int | None
    unit: str  # "B" or a noun


@dataclass(frozen=True)
class Output:
    """A line a guest or a child process wrote, without its end of line."""

    machine: str
    name: str
    line: str


@dataclass(frozen=True)
class Note:
    machine: str
    level: str  # "info" or "warning"
    text: str


Event = StepStarted | StepFinished | Progress | Output | Note


class Reporter(Protocol):
    """Takes events from any thread."""

    def emit(self, event: Event, /) -> None: ...


class Cancelled(KeyboardInterrupt):
    """The user asked to stop; a KeyboardInterrupt, so no ``except Exception`` swallows it."""


class Cancel:
    """Set once, seen by every thread of the command."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raises Cancelled if the user asked to stop."""
        if self._event.is_set():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Sleep that ends early, raising Cancelled, when the user asks to stop."""
        if self._event.wait(max(0.0, seconds)):
            raise Cancelled


class Step:
    """Handed out by ``Op.step``; set ``outcome`` to say what came of it."""

    def __init__(self, op: Op, name: str) -> None:
        self.op = op
        self.name = name
        self.outcome = ""

    def progress(self, done: int, total: int | None, unit: str = "B") -> None:
        self.op.reporter.emit(Progress(self.op.machine, self.name, done, total, unit))

    def output(self, line: str) -> None:
        self.op.reporter.emit(Output(self.op.machine, self.name, line))


@dataclass(frozen=True)
class Op:
    """Handed to every function that does I/O: whom to tell, when to give up, for which machine."""

    reporter: Reporter
    cancel: Cancel
    machine: str = ""
    offline: bool = False  # the user wants no network used
    terminal: int | None = None  # a descriptor of it, where a password may be asked for

    def on(self, machine: str) -> Op:
        return replace(self, machine=machine)

    def note(self, text: str, *, level: str = "info") -> None:
        self.reporter.emit(Note(self.machine, level, text))

    def warn(self, text: str) -> None:
        self.note(text, level="warning")

    @contextmanager
    def step(self, name: str, text: str) -> Iterator[Step]:
        """One visible step. Raises Cancelled before it starts if the user asked to stop."""
        self.cancel.check()
        started = time.monotonic()
        self.reporter.emit(StepStarted(self.machine, name, text))
        step = Step(self, name)
        ok = False
        try:
            yield step
            ok = True
        finally:
            seconds = time.monotonic() - started
            self.reporter.emit(StepFinished(self.machine, name, ok, seconds, step.outcome))
