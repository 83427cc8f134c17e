"""Of all that was seen, what explains it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vagrantish.diagnosis.causes import Place, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagrantish.diagnosis.causes import Cause
    from vagrantish.diagnosis.stages import Stage

_LINES_MAX = 15
_LINE_SHOWN = 400  # characters
_GAP = "[…]"


@dataclass(kw_only=True)
class Sighting:
    """A line that shows a cause, with those around it; no line where a state alone does."""

    cause: Cause
    caught: tuple[str, ...] = ()
    place: Place = Place.CONSOLE
    number: int = 0  # of the line in its stream
    order: int = 0  # among all that was read
    around: dict[int, str] = field(default_factory=dict)  # number → line, this one too

    @property
    def line(self) -> str:
        return self.around.get(self.number, "")

    @property
    def event(self) -> str:
        text = self.cause.event
        for number, caught in enumerate(self.caught, 1):
            text = text.replace(f"{{{number}}}", caught.strip()[:_LINE_SHOWN] or "no reason given")
        return text.replace("{1}", "no reason given")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Why a boot failed."""

    stage: Stage
    cause_id: str
    event: str  # what happened, in a clause: "the guest's kernel panicked: …"; may be ""
    message: str  # why, in a sentence; "" where the event says it all
    lines: tuple[str, ...]  # those that show it, with some around
    hint: str
    others: tuple[str, ...]  # ids of what was seen besides


def judge(seen: Sequence[Sighting], *, stage: Stage, last_lines: Sequence[str]) -> Verdict | None:
    """The cause that explains most; None when nothing was seen."""
    if not seen:
        return None
    ranked = sorted(seen, key=lambda one: (-one.cause.rank, one.order))
    best = ranked[0]
    fatal = [one for one in seen if one.cause.severity is Severity.FATAL and one.cause.event]
    ended = max(fatal, key=lambda one: (one.cause.rank, -one.order), default=None)
    return Verdict(
        stage=stage if best.cause.stage is None else best.cause.stage,
        cause_id=best.cause.id,
        event=ended.event if ended is not None else "",
        message=best.cause.say,
        lines=_shown(best, ended) or tuple(line[:_LINE_SHOWN] for line in last_lines),
        hint=best.cause.fix,
        others=tuple(one.cause.id for one in ranked[1:]),
    )


def _shown(best: Sighting, ended: Sighting | None) -> tuple[str, ...]:
    """The lines of the cause and of the end it led to, in order and each once."""
    around = best.around
    if ended is not None and (not around or ended.place is best.place):
        around = around | ended.around
    shown: list[str] = []
    last = None
    for number, line in sorted(around.items()):
        if last is not None and number > last + 1:
            shown.append(_GAP)
        last = number
        if line.strip():
            shown.append(line[:_LINE_SHOWN])
    return tuple(shown[:_LINES_MAX])
