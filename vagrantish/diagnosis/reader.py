"""Reads a boot as it goes on, console and error streams, and says why it failed. Pure."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vagrantish.diagnosis.causes import Known, Place, Severity, State, catalogue
from vagrantish.diagnosis.endings import is_chatter
from vagrantish.diagnosis.lines import LineSplitter
from vagrantish.diagnosis.stages import Reached, Stage, is_given, stages_of
from vagrantish.diagnosis.verdict import Sighting, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.diagnosis.endings import Ending

_LINES_KEPT = 200
_AROUND = 3  # lines kept before and after one that shows a cause
_LAST = 3  # so many lines from the end still count as the last
_LOOP = 5  # boots; a first boot may need two or three
_READY = "vx: ready ssh"
_OURS = ("$ ", "[vx: ")  # vx writes into the same log: the command, and what it dropped
_KERNEL = re.compile(r"^(?:\[ +0\.0+\] )?Linux version \d|---<<BOOT>>---")
_CLOCK = re.compile(r"^\[ *(\d{1,7}\.\d{1,9})\]|\bUp (\d{1,7}\.\d{1,3}) seconds")


# A guest that gave up is quiet for that reason, and nobody can log in for that reason.
_AFTERWARDS = frozenset(
    {
        State.STALLED, State.TIMED_OUT, State.REBOOTING,
        State.NO_ADDRESS, State.NO_SSHD, State.LOGIN_REFUSED,
    }
)  # fmt: skip


class Reader:
    """Untrusted input: bounded whatever it is given."""

    def __init__(self) -> None:
        self.ready = False  # the guest's first-boot script said that sshd listens; only a hint
        self.boots = 0  # kernels seen to start
        self._streams = {place: _Stream() for place in Place}
        self._boot = _Boot()
        self._before: _Boot | None = None
        self._others: dict[str, Sighting] = {}  # of the streams that are not the console's
        self._ending: Ending | None = None
        self._printed = False
        self._said = False
        self._prompted: list[str] = []  # ids seen only in the line that is not ended yet

    # --- what it is given ------------------------------------------------------------------

    def feed(self, data: bytes, place: Place = Place.CONSOLE, *, at_s: float | None = None) -> None:
        """``at_s``: seconds since the hypervisor started, where somebody has a clock."""
        stream = self._streams[place]
        if place is Place.CONSOLE:
            # What half a line showed is looked at anew, with what has come of it since.
            for cause_id in self._prompted:
                self._boot.found.pop(cause_id, None)
            self._prompted.clear()
        for line in stream.splitter.feed(data):
            if place is Place.STDERR and line.startswith(_OURS):
                continue
            stream.lines.append(line)
            stream.count += 1
            self._whole(line, place, stream, at_s)
        if place is Place.CONSOLE and (prompt := stream.splitter.unfinished):
            self._prompt(prompt, at_s)

    def end(self, ending: Ending) -> None:
        """The hypervisor ended, and so."""
        self._ending = ending

    # --- what it says ----------------------------------------------------------------------

    @property
    def stage(self) -> Stage:
        return self._boot.stage

    @property
    def reached(self) -> tuple[Reached, ...]:
        """The stages seen in this boot, in order; one may be missing that said nothing."""
        return tuple(sorted(self._boot.reached.values(), key=lambda one: one.stage.order))

    @property
    def printed(self) -> bool:
        """Whether the guest wrote anything."""
        return self._printed

    @property
    def is_fatal(self) -> bool:
        """Whether it is clear that this boot will not succeed."""
        known = self._known(frozenset())
        return any(
            sighting.cause.severity is Severity.FATAL and self._holds(sighting, known)
            for sighting in self._seen()
        )

    @property
    def is_looping(self) -> bool:
        """Whether the guest did nothing but reboot, if nobody logged in so far."""
        return self.boots >= _LOOP

    @property
    def is_decided(self) -> bool:
        """Whether the guest said that it has booted, or why nobody will be able to log in."""
        return any(sighting.cause.decides for sighting in self._boot.found.values())

    def last_lines(self, count: int) -> tuple[str, ...]:
        """The console's last lines with something on them, the unfinished one too."""
        stream = self._streams[Place.CONSOLE]
        lines = [*stream.lines, stream.splitter.unfinished]
        return tuple([line for line in lines if line.strip()][-count:])

    def verdict(self, *states: State) -> Verdict | None:
        """Why the boot failed; None while there is no sign that it did.

        ``states`` are what the caller knows: a clue counts only for a boot in trouble.
        """
        given = frozenset(states)
        if self.is_fatal:
            given -= _AFTERWARDS
        if State.STALLED in given and not self._printed:
            given |= {State.SILENT}
        if not given and self._ending is None and not self.is_fatal:
            return None
        known = self._known(given)
        seen = [sighting for sighting in self._seen() if self._holds(sighting, known)]
        ids = {sighting.cause.id for sighting in seen}
        seen += [
            Sighting(cause=cause)
            for cause in catalogue().causes
            if cause.alone is not None and cause.id not in ids and cause.alone.hold(known)
        ]
        return judge(seen, stage=self.stage, last_lines=self.last_lines(2 * _AROUND))

    def remarks(self) -> tuple[Sighting, ...]:
        """What was seen beside the way and did no harm so far, by the order it was seen in."""
        known = self._known(frozenset())
        seen = [
            sighting
            for sighting in self._all()
            if sighting.cause.severity is not Severity.FATAL
            and sighting.cause.say
            and self._holds(sighting, known)
        ]
        return tuple(sorted(seen, key=lambda one: one.order))

    # --- how it comes to that --------------------------------------------------------------

    def _whole(self, line: str, place: Place, stream: _Stream, at_s: float | None) -> None:
        if place is Place.CONSOLE and line.strip():
            if _KERNEL.search(line):
                self._next_boot()
            self._follow(line, at_s)
        for sighting in stream.open:
            sighting.around[stream.count] = line
        stream.open = [s for s in stream.open if stream.count < s.number + _AROUND]
        if not line.strip() or (place is Place.CONSOLE and is_given(line)):
            return
        if place is not Place.CONSOLE and not is_chatter(line):
            self._said = True
        for sighting in self._look(line, place, stream.count):
            stream.open.append(sighting)

    def _prompt(self, prompt: str, at_s: float | None) -> None:
        """A prompt ends no line; anything else may still be half a line."""
        if prompt.strip():
            self._follow(prompt, at_s)
            number = self._streams[Place.CONSOLE].count + 1
            for sighting in self._look(prompt, Place.CONSOLE, number, prompt=True):
                self._prompted.append(sighting.cause.id)

    def _look(
        self, line: str, place: Place, number: int, *, prompt: bool = False
    ) -> Iterator[Sighting]:
        """What is seen for the first time in this line."""
        found = self._boot.found if place is Place.CONSOLE else self._others
        for cause in catalogue().by_place[place]:
            if (prompt and not cause.prompt) or (cause.id in found and not cause.needs.last):
                continue
            caught = cause.match(line)
            if caught is None:
                continue
            kept = [*self._streams[place].lines][-_AROUND - 1 :]
            first = self._streams[place].count - len(kept) + 1
            sighting = Sighting(
                cause=cause,
                caught=caught,
                place=place,
                number=number,
                order=sum(stream.count for stream in self._streams.values()),
                around={first + at: one for at, one in enumerate(kept)} | {number: line},
            )
            found[cause.id] = sighting
            yield sighting

    def _follow(self, line: str, at_s: float | None) -> None:
        self._printed = True
        self.ready = self.ready or _READY in line
        boot = self._boot
        if clock := _CLOCK.search(line):
            boot.guest_s = float(clock[1] or clock[2])
        for stage in stages_of(line):
            if stage not in boot.reached and stage.order >= boot.stage.order:
                at = boot.guest_s if at_s is None else at_s
                boot.reached[stage] = Reached(stage=stage, line=line, at_s=at)
            boot.stage = max(boot.stage, stage, key=lambda one: one.order)

    def _next_boot(self) -> None:
        """A guest that reboots starts anew; what its last boot said may still be why."""
        if self.boots:
            self._before, self._boot = self._boot, _Boot()
        self.boots += 1

    def _seen(self) -> list[Sighting]:
        return [s for s in self._all() if s.cause.severity is not Severity.HARMLESS]

    def _all(self) -> list[Sighting]:
        seen = [*self._others.values(), *self._boot.found.values()]
        if self._before is not None and self.stage.order < Stage.NETWORK.order:
            ids = {sighting.cause.id for sighting in seen}
            seen += [s for s in self._before.found.values() if s.cause.id not in ids]
        return seen

    def _known(self, states: frozenset[State]) -> Known:
        return Known(
            states=states,
            ending=self._ending,
            printed=self._printed,
            said=self._said,
            stage=self.stage,
            seen={sighting.cause.id for sighting in self._all()},
        )

    def _holds(self, sighting: Sighting, known: Known) -> bool:
        needs = sighting.cause.needs
        if needs.last and sighting.number <= self._streams[sighting.place].count - _LAST:
            return False
        return needs.hold(known)


@dataclass
class _Stream:
    splitter: LineSplitter = field(default_factory=LineSplitter)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES_KEPT))
    count: int = 0
    open: list[Sighting] = field(default_factory=list)  # still to get lines behind them


@dataclass
class _Boot:
    """What one boot of the guest has shown."""

    stage: Stage = Stage.PROGRAM
    reached: dict[Stage, Reached] = field(default_factory=dict)
    found: dict[str, Sighting] = field(default_factory=dict)
    guest_s: float | None = None  # the kernel's clock
