"""How the events of a command appear on stderr: as lines, as JSON, or (in live.py) drawn."""

from __future__ import annotations

import json
import threading
import time

from vagrantish.cli.options import wants_color
from vagrantish.cli.output import write_or_drop
from vagrantish.cli.pace import Pace
from vagrantish.cli.text import guest_line, one_line
from vagrantish.events import Note, Output, Progress, StepFinished, StepStarted
from vagrantish.units import format_duration, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol, TextIO

    from vagrantish.cli.options import Options
    from vagrantish.events import Cancel, Event

    class Renderer(Protocol):
        """A Reporter with an end."""

        def emit(self, event: Event, /) -> None: ...

        def settle(self) -> None:
            """Leave the screen as it is: something else is about to be written to it."""

        def close(self) -> None: ...


EVENT_NAMES: dict[type[Event], str] = {
    StepStarted: "step-started",
    StepFinished: "step-finished",
    Progress: "progress",
    Output: "output",
    Note: "note",
}
WORTH_SAYING_S = 0.1  # a step that took less says nothing of its time
PLAIN_PROGRESS_S = 10.0
JSON_PROGRESS_S = 0.1


def choose(
    options: Options, env: Mapping[str, str], stream: TextIO | None, cancel: Cancel
) -> Renderer:
    if stream is None:
        return Silent()
    if options.events:
        return JsonLines(stream)
    if options.quiet:
        return Warnings(stream)
    drawn = stream.isatty() and env.get("TERM", "dumb") != "dumb" and not options.log_level
    if drawn:
        from vagrantish.cli.live import Live

        color = wants_color(options.color, stream, env)
        return Live(stream, cancel, color=color, verbose=options.verbosity > 0)
    return Plain(stream, cancel, verbose=options.verbosity > 0)


def outcome_of(event: StepFinished, cancel: Cancel) -> str:
    """``ready in 2.6 s``, ``failed after 2.6 s``; empty for a quick success that says nothing."""
    took = format_duration(event.seconds)
    if not event.ok:
        return f"{'interrupted' if cancel.is_set() else 'failed'} after {took}"
    return one_line(event.text) or (took if event.seconds >= WORTH_SAYING_S else "")


def amount(event: Progress) -> str:
    """``34% of 4MiB``, ``3/10 files``, ``1.2MiB``: what is done of what there is."""
    if event.unit != "B":
        total = f"/{event.total}" if event.total else ""
        return f"{event.done}{total} {one_line(event.unit)}"
    if event.total:
        return f"{min(100, event.done * 100 // event.total)}% of {format_size(event.total)}"
    return format_size(event.done)


def is_shown(event: Output, *, verbose: bool) -> bool:
    """A guest's boot messages are for those who ask; what a step prints is for all."""
    return verbose or event.name != "boot"


class Silent:
    """For a vx started without a stderr."""

    def emit(self, event: Event, /) -> None:
        del event

    def settle(self) -> None:
        """Nothing is drawn."""

    def close(self) -> None:
        """Nothing is held."""


class _Lines:
    """Writes whole lines, from any thread; a stderr that goes away must not stop the work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def settle(self) -> None:
        """Nothing is drawn: lines stay where they are."""

    def close(self) -> None:
        """Every line is already out."""

    def _write(self, line: str) -> None:
        with self._lock:
            write_or_drop(self._stream, line + "\n")


class Warnings(_Lines):
    """-q."""

    def emit(self, event: Event, /) -> None:
        if isinstance(event, Note) and event.level == "warning":
            self._write(_named(event.machine, f"warning: {one_line(event.text)}"))


class Plain(_Lines):
    """A line an event, for logs and pipes: nothing is ever overwritten."""

    def __init__(self, stream: TextIO, cancel: Cancel, *, verbose: bool) -> None:
        super().__init__(stream)
        self._cancel = cancel
        self._verbose = verbose
        self._texts: dict[tuple[str, str], str] = {}
        self._told_at: dict[tuple[str, str], float] = {}
        self._paces: dict[tuple[str, str], Pace] = {}

    def emit(self, event: Event, /) -> None:
        if isinstance(event, Note):
            warning = "warning: " if event.level == "warning" else ""
            self._write(_named(event.machine, warning + one_line(event.text)))
            return
        key = (event.machine, event.name)
        if isinstance(event, StepStarted):
            self._texts[key] = one_line(event.text)
            self._told_at[key] = time.monotonic()
            self._write(_named(event.machine, self._texts[key]))
        elif isinstance(event, StepFinished):
            text = self._texts.pop(key, event.name)
            self._paces.pop(key, None)
            outcome = outcome_of(event, self._cancel) or "done"
            self._write(_named(event.machine, f"{text}: {outcome}"))
        elif isinstance(event, Output):
            if is_shown(event, verbose=self._verbose):
                self._write(_named(event.machine, guest_line(event.line), mark="|"))
        else:
            self._progress(key, event)

    def _progress(self, key: tuple[str, str], event: Progress) -> None:
        pace = self._paces.setdefault(key, Pace(PLAIN_PROGRESS_S))
        pace.move(event)
        if time.monotonic() - self._told_at.get(key, 0) >= PLAIN_PROGRESS_S:
            self._told_at[key] = time.monotonic()
            words = ", ".join([amount(event), *pace.words(event)])
            self._write(_named(event.machine, f"{self._texts.get(key, event.name)}: {words}"))


class JsonLines(_Lines):
    """--events: one object a line; docs/cli.md says what is in it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._told_at: dict[tuple[str, str], float] = {}

    def emit(self, event: Event, /) -> None:
        if isinstance(event, Progress) and not self._is_due(event):
            return
        fields: dict[str, object] = {
            "event": EVENT_NAMES[type(event)],
            "time": round(time.time(), 3),
        }
        fields.update(vars(event))
        self._write(json.dumps(fields))

    def _is_due(self, event: Progress) -> bool:
        """Often enough to draw with; the last one always."""
        key = (event.machine, event.name)
        now = time.monotonic()
        if event.done != event.total and now - self._told_at.get(key, 0) < JSON_PROGRESS_S:
            return False
        self._told_at[key] = now
        return True


def _named(machine: str, text: str, *, mark: str = ":") -> str:
    gap = "" if mark == ":" else " "
    return f"{machine}{gap}{mark} {text}".rstrip() if machine else text
