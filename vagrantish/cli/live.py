"""What a person at a terminal sees: running steps drawn below, what is over printed above."""

from __future__ import annotations

import threading
import time

from vagrantish.cli.output import write_or_drop
from vagrantish.cli.pace import Pace
from vagrantish.cli.reporters import amount, is_shown, outcome_of
from vagrantish.cli.text import guest_line, one_line
from vagrantish.events import Note, Output, Progress, StepFinished, StepStarted
from vagrantish.units import format_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from rich.live import Live as Region
    from rich.text import Text

    from vagrantish.events import Cancel, Event

FIRST_DRAWING_S = 0.2  # what is over by then is never drawn, and rich never imported for it
REDRAW_S = 0.1
BAR_WIDTH = 24
_OUTPUT_MAX = 500  # lines held back for the next redraw; more than this are written at once


class _Signs:
    """Marks, for a terminal that shows UTF-8 and for one that does not."""

    def __init__(self, *, utf8: bool) -> None:
        self.ok, self.bad = ("✓", "✗") if utf8 else ("ok", "!!")
        self.dots = "…" if utf8 else "..."
        self.spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if utf8 else "|/-\\"
        self.full, self.empty = ("━", "╌") if utf8 else ("#", ".")


class _Running:
    """A step that goes on."""

    def __init__(self, event: StepStarted) -> None:
        self.machine = one_line(event.machine)
        self.text = one_line(event.text)
        self.since = time.monotonic()
        self.progress: Progress | None = None
        self.pace = Pace()

    def move(self, event: Progress) -> None:
        self.progress = event
        self.pace.move(event)


class Live:
    """Takes events from any thread; one thread of its own draws.

    The cursor stays visible and the terminal in its usual mode, so that nothing is left wrong
    even by a kill.
    """

    def __init__(self, stream: TextIO, cancel: Cancel, *, color: bool, verbose: bool) -> None:
        self._stream = stream
        self._cancel = cancel
        self._color = color
        self._verbose = verbose
        self._signs = _Signs(utf8=(stream.encoding or "").lower().replace("-", "") == "utf8")
        self._lock = threading.RLock()
        self._running: dict[tuple[str, str], _Running] = {}
        self._machines: set[str] = set()
        self._lines: list[str] = []  # to be printed above, with colours
        self._region: Region | None = None
        self._drawer: threading.Thread | None = None
        self._closed = threading.Event()
        self._spin = 0

    def emit(self, event: Event, /) -> None:
        with self._lock:
            if event.machine:
                self._machines.add(event.machine)
            if isinstance(event, StepStarted):
                self._running[event.machine, event.name] = _Running(event)
                self._draw_from_now_on()
            elif isinstance(event, Progress):
                running = self._running.get((event.machine, event.name))
                if running is not None:
                    running.move(event)
            elif isinstance(event, Output):
                if is_shown(event, verbose=self._verbose):
                    self._lines.append(self._output_line(event))
                    if len(self._lines) > _OUTPUT_MAX or self._drawer is None:
                        self._print()
            elif isinstance(event, StepFinished):
                running = self._running.pop((event.machine, event.name), None)
                self._lines.append(self._finished_line(event, running))
                self._print()
            else:
                self._lines.append(self._note_line(event))
                self._print()

    def settle(self) -> None:
        """Take the drawing away; it comes back while steps are running."""
        with self._lock:
            self._print()
            self._stop_drawing()

    def close(self) -> None:
        self._closed.set()
        if self._drawer is not None:
            self._drawer.join()
            self._drawer = None
        self.settle()

    # --- drawing ---------------------------------------------------------------------------

    def _draw_from_now_on(self) -> None:
        if self._drawer is None:
            self._drawer = threading.Thread(target=self._draw_regularly, daemon=True)
            self._drawer.start()

    def _draw_regularly(self) -> None:
        wait_s = FIRST_DRAWING_S
        while not self._closed.wait(wait_s):
            wait_s = REDRAW_S
            with self._lock:
                begin = bool(self._running) and self._region is None
            region = self._new_region() if begin else None  # imports rich: emit must not wait
            with self._lock:
                self._draw(region)

    def _draw(self, region: Region | None) -> None:
        try:
            if region is not None and self._running and self._region is None:
                self._region = region
                region.start()
            self._print()
            if self._region is not None and self._running:
                self._spin += 1
                self._region.refresh()
        except OSError:  # the terminal is gone; the work goes on
            self._region = None
        if not self._running:
            self._stop_drawing()

    def _stop_drawing(self) -> None:
        region, self._region = self._region, None
        if region is not None:
            try:
                region.stop()
            except OSError:  # the terminal is gone
                write_or_drop(self._stream, "")

    def _new_region(self) -> Region:
        from rich.console import Console
        from rich.live import Live as Region

        class SeenCursor(Console):
            """Never hides the cursor, so that no kill can leave it hidden."""

            def show_cursor(self, show: bool = True) -> bool:  # noqa: FBT001, FBT002 - rich's
                del show
                return False

        console = SeenCursor(
            file=self._stream,
            force_terminal=True,
            color_system="standard" if self._color else None,
            markup=False,
            emoji=False,
            highlight=False,
        )
        return Region(
            console=console,
            get_renderable=self._drawing,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def _drawing(self) -> Text:
        from rich.text import Text

        with self._lock:
            lines = [self._running_line(running) for running in self._running.values()]
        return Text.from_ansi(
            "\n".join(lines), no_wrap=True, overflow="ellipsis" if self._signs.ok == "✓" else "crop"
        )

    def _print(self) -> None:
        """Put what is over above the drawing."""
        if not self._lines:
            return
        text = "\n".join(self._lines)
        self._lines.clear()
        if not self._running:
            self._stop_drawing()
        if self._region is None:
            write_or_drop(self._stream, text + "\n")
            return
        from rich.text import Text

        try:
            self._region.console.print(Text.from_ansi(text), soft_wrap=True)
            self._region.refresh()
        except OSError:  # the terminal is gone; the work goes on
            self._region = None

    # --- lines -----------------------------------------------------------------------------

    def _running_line(self, running: _Running) -> str:
        sign = self._signs.spinner[self._spin % len(self._signs.spinner)]
        parts = [f"  {self._styled(sign, '36')}", *self._name(running.machine), running.text]
        if running.progress is not None:
            parts += self._progress(running)
        parts.append(self._styled(format_duration(time.monotonic() - running.since), "2"))
        return " ".join(parts)

    def _progress(self, running: _Running) -> list[str]:
        event = running.progress
        assert event is not None
        parts = []
        if event.total:
            filled = min(BAR_WIDTH, event.done * BAR_WIDTH // event.total)
            bar = self._signs.full * filled
            rest = self._signs.empty * (BAR_WIDTH - filled)
            parts.append(self._styled(bar, "36") + self._styled(rest, "2"))
        parts.append(amount(event))
        return parts + running.pace.words(event)

    def _finished_line(self, event: StepFinished, running: _Running | None) -> str:
        sign = (
            self._styled(self._signs.ok, "32") if event.ok else self._styled(self._signs.bad, "31")
        )
        text = running.text if running else one_line(event.name)
        outcome = outcome_of(event, self._cancel)
        parts = [f"  {sign}", *self._name(event.machine), text]
        if outcome:
            parts.append(f"{self._signs.dots} {outcome}")
        return " ".join(parts)

    def _output_line(self, event: Output) -> str:
        name = f"{event.machine} | " if len(self._machines) > 1 and event.machine else ""
        return f"    {self._styled(name + guest_line(event.line), '2')}".rstrip()

    def _note_line(self, event: Note) -> str:
        warning = event.level == "warning"
        sign = self._styled("!", "33") if warning else " "
        text = f"warning: {event.text}" if warning else event.text
        return " ".join([f"  {sign}", *self._name(event.machine), one_line(text)])

    def _name(self, machine: str) -> Sequence[str]:
        """The machine's name as a column, as wide as the widest yet."""
        if not machine:
            return ()
        width = max(map(len, self._machines))
        return (self._styled(one_line(machine).ljust(width) + " ", "1"),)

    def _styled(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._color else text
