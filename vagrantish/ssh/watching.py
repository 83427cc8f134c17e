"""A guest while it boots, as its console, its hypervisor's error stream and its end show it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.diagnosis.causes import Place, State
from vagrantish.diagnosis.reader import Reader
from vagrantish.diagnosis.stages import Stage
from vagrantish.errors import BootError
from vagrantish.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vagrantish.diagnosis.endings import Ending
    from vagrantish.events import Step

_LOOK_EVERY_S = 0.1
_SETTLE_S = 0.2  # for the rest of what a failure writes: a dump comes in pieces
_LINES_SHOWN = 15
_READ_MAX = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where a boot shows."""

    console_log: Path
    ending: Callable[[], Ending | None]  # None while the hypervisor runs
    provider_log: Path | None = None  # what it writes to its error stream
    provider_out: Path | None = None  # and to its standard output
    console_from: int = 0  # where in the console's log this boot begins


class Guest:
    """All that is known of a guest that boots, but for how it answers over ssh."""

    def __init__(self, sources: Sources, step: Step, *, stall_s: float, started_at: float) -> None:
        self.reader = Reader()
        self.over_ssh = "nothing answered yet"  # told with every failure
        self.about_ssh: Callable[[], tuple[State, ...]] = tuple  # what is wrong with the way in
        self.started_at = started_at
        self._sources = sources
        self._step = step
        self._stall_s = stall_s
        self._offsets = {Place.CONSOLE: sources.console_from, Place.STDERR: 0, Place.STDOUT: 0}
        self._shown = self.reader.stage
        now = time.monotonic()
        self._moved_at = self._spoke_at = now
        self._looked_at = now
        self._doomed_at: float | None = None

    @property
    def stage(self) -> Stage:
        return self.reader.stage

    def has(self, stage: Stage) -> bool:
        return self.reader.stage.order >= stage.order

    @property
    def says_it_booted(self) -> bool:
        return self.has(Stage.LOGIN) or self.reader.ready

    @property
    def is_at_its_end(self) -> bool:
        """Whether its console shows that nothing more is to come: a login, or what prevents it."""
        return self.says_it_booted or self.reader.is_decided

    def reached_at(self, stage: Stage) -> float | None:
        """When it was that far, or further, by ``time.monotonic``."""
        times = [one.at_s for one in self.reader.reached if one.stage.order >= stage.order]
        return None if not times or times[0] is None else self.started_at + times[0]

    def quiet_s(self) -> float:
        """How long its console has been quiet."""
        return time.monotonic() - self._spoke_at

    def moved(self) -> None:
        """It got further than ever before, in another way than on its console."""
        self._moved_at = time.monotonic()

    def look(self) -> None:
        """Raises BootError when it is clear that the guest will not come up."""
        now = time.monotonic()
        if self._read(Place.CONSOLE, self._sources.console_log):
            self._moved_at = self._spoke_at = now
        self._show_stage()
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            self._look_at_hypervisor()
        if self.reader.is_fatal:
            self._doomed_at = self._doomed_at or now
            if now - self._doomed_at >= _SETTLE_S:
                raise self.failure("the guest does not come up")
        if self.reader.is_looping:
            raise self.failure("the guest reboots over and over", State.REBOOTING)
        if now - self._moved_at > self._stall_s:
            raise self.failure(
                f"the guest has not got any further for {format_duration(self._stall_s)}",
                State.STALLED,
            )

    def failure(self, event: str, *states: State) -> BootError:
        """What there is to say; ``event`` where nothing that was seen says more."""
        reader = self.reader
        verdict = reader.verdict(*states, *self.about_ssh())
        reached = f"it came as far as: {reader.stage}"
        if reader.stage is Stage.PROGRAM:
            reached = "its console stayed empty"
        event = (verdict.event if verdict else "") or event
        ssh = "" if reader.is_fatal else f"; over ssh: {self.over_ssh}"
        why = f"\n{verdict.message}" if verdict and verdict.message else ""
        return BootError(
            f"{event} ({reached}{ssh}){why}",
            hint=verdict.hint if verdict else "",
            stage=reader.stage.value,
            cause=verdict.cause_id if verdict else "",
            console=(verdict.lines if verdict else ()) or reader.last_lines(_LINES_SHOWN),
        )

    def _show_stage(self) -> None:
        if self.reader.stage is not self._shown:
            self._shown = self.reader.stage
            last = Stage.SSHD.order
            self._step.progress(min(self._shown.order, last), last, self._shown.value)

    def _look_at_hypervisor(self) -> None:
        self._read_hypervisor()
        ending = self._sources.ending()
        if ending is None:
            return
        self._read(Place.CONSOLE, self._sources.console_log)
        self._read_hypervisor()
        self.reader.end(ending)
        why = f": {ending.text}" if ending.text else ""
        raise self.failure(f"the machine stopped by itself while it booted{why}")

    def _read_hypervisor(self) -> None:
        if self._sources.provider_log is not None:
            self._read(Place.STDERR, self._sources.provider_log)
        if self._sources.provider_out is not None:
            self._read(Place.STDOUT, self._sources.provider_out)

    def _read(self, place: Place, log: Path) -> bool:
        """Whether there was something new."""
        try:
            with log.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offsets[place]:
                    self._offsets[place] = 0  # somebody emptied it
                file.seek(self._offsets[place])
                data = file.read(_READ_MAX)
        except FileNotFoundError:
            return False
        self._offsets[place] += len(data)
        if data:
            self.reader.feed(data, place, at_s=time.monotonic() - self.started_at)
        return bool(data)
