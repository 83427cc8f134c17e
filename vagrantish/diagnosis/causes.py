"""What can be wrong with a boot and how it shows: read from ``causes/*.toml``, once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from vagrantish import toml
from vagrantish.diagnosis.endings import EndingKind
from vagrantish.diagnosis.stages import Stage

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from vagrantish.diagnosis.endings import Ending

RANKS = range(101)
_RANK = 50


class Place(StrEnum):
    """Where a text was read."""

    STDERR = "stderr"  # of the hypervisor
    STDOUT = "stdout"
    CONSOLE = "console"  # the guest's
    LAUNCHER = "launcher"  # the shell, sudo or kernel that was to run the hypervisor


class Severity(StrEnum):
    FATAL = "fatal"  # the boot cannot go on
    CLUE = "clue"  # explains a boot that ended or stalled
    HARMLESS = "harmless"


class State(StrEnum):
    """What whoever watches a boot knows beside what was written."""

    STALLED = "stalled"
    TIMED_OUT = "timed-out"  # it goes on, and took longer than a boot may
    REBOOTING = "rebooting"  # over and over
    SILENT = "silent"  # the guest never wrote anything
    RUNNING = "running"  # the hypervisor does, though it should have ended
    PROCESS_STOPPED = "process-stopped"  # job control stopped the hypervisor
    NO_ADDRESS = "no-address"
    NO_SSHD = "no-sshd"
    LOGIN_REFUSED = "login-refused"
    HOST_KEY = "host-key"


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the conditions of causes are held against."""

    states: frozenset[State]
    ending: Ending | None
    printed: bool  # the guest did, on its console
    said: bool  # the hypervisor did, on its error stream, beyond chatter
    stage: Stage
    seen: Container[str]  # ids of causes, harmless ones too


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What must hold; everything that is given."""

    states: frozenset[State] = frozenset()  # any of them
    kinds: frozenset[EndingKind] = frozenset()
    statuses: frozenset[int] = frozenset()  # as Python's returncode: negative for a signal
    providers: frozenset[str] = frozenset()
    within_s: float | None = None
    printed: bool | None = None
    said: bool | None = None
    last: bool = False  # the text is the last thing the guest wrote, or nearly
    until: Stage | None = None  # no stage after this one was reached
    seen: tuple[str, ...] = ()  # these were seen as well
    unseen: tuple[str, ...] = ()  # and none of these

    def hold(self, known: Known) -> bool:
        """All of it but ``last``."""
        return (
            (not self.states or bool(self.states & known.states))
            and self.printed in (None, known.printed)
            and self.said in (None, known.said)
            and (self.until is None or known.stage.order <= self.until.order)
            and all(one in known.seen for one in self.seen)
            and not any(one in known.seen for one in self.unseen)
            and self._fits(known.ending)
        )

    def _fits(self, ending: Ending | None) -> bool:
        if not (self.kinds or self.statuses or self.providers or self.within_s is not None):
            return True
        return (
            ending is not None
            and (not self.kinds or ending.kind in self.kinds)
            and (not self.statuses or ending.status in self.statuses)
            and (not self.providers or ending.provider in self.providers)
            and (self.within_s is None or ending.seconds <= self.within_s)
        )


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """``near`` is in every line that ``regex`` matches: most lines are passed over without it."""

    near: str
    regex: str

    def search(self, line: str) -> re.Match[str] | None:
        return _compiled(self.regex).search(line) if self.near in line else None


@dataclass(frozen=True, kw_only=True)
class Cause:
    id: str
    where: frozenset[Place]
    text: tuple[str, ...]  # any of them in a line
    patterns: tuple[Pattern, ...]  # or any of these
    needs: Needs  # and this besides
    alone: Needs | None  # or this, without any text
    event: str  # what happened, with {1} for what a pattern caught; of fatal causes
    prompt: bool  # also in a line that is not ended
    decides: bool  # once seen, a guest that does not answer soon will not answer at all
    say: str  # what is wrong, in a sentence
    fix: str
    stage: Stage | None  # where boots end that have it; None: as far as it came
    severity: Severity
    rank: int  # of several causes the highest explains the others

    def match(self, line: str) -> tuple[str, ...] | None:
        """What the pattern caught, empty for a text; None when it is not this cause."""
        for text in self.text:
            if text in line:
                return ()
        for pattern in self.patterns:
            if found := pattern.search(line):
                return tuple(group or "" for group in found.groups())
        return None


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    causes: tuple[Cause, ...]
    by_place: Mapping[Place, tuple[Cause, ...]] = field(repr=False)


@cache
def catalogue() -> Catalogue:
    """Every cause there is."""
    folder = resources.files(__package__) / "causes"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".toml")),
        key=lambda file: file.name,
    )
    found = [cause for file in files for cause in read(file.read_text("utf-8"), file.name)]
    return Catalogue(
        causes=tuple(found),
        by_place={
            place: tuple(c for c in found if place in c.where and (c.text or c.patterns))
            for place in Place
        },
    )


def read(text: str, name: str) -> list[Cause]:
    """The causes in one file."""
    return [_cause(table) for table in toml.parse(text, name).table["cause"]]


def _cause(table: Mapping[str, Any]) -> Cause:
    stage = table.get("stage")
    alone = table.get("alone")
    return Cause(
        id=table["id"],
        where=frozenset(map(Place, table["where"])),
        text=tuple(table.get("text", ())),
        patterns=tuple(Pattern(near=near, regex=regex) for near, regex in table.get("pattern", ())),
        needs=_needs(table.get("needs", {})),
        alone=None if alone is None else _needs(alone),
        event=table.get("event", ""),
        prompt=table.get("prompt", False),
        decides=table.get("decides", False),
        say=table["say"],
        fix=table["fix"],
        stage=None if stage is None else Stage(stage),
        severity=Severity(table["severity"]),
        rank=table.get("rank", _RANK),
    )


def _needs(table: Mapping[str, Any]) -> Needs:
    until = table.get("until")
    return Needs(
        states=frozenset(map(State, table.get("state", ()))),
        kinds=frozenset(map(EndingKind, table.get("ending", ()))),
        statuses=frozenset(table.get("status", ())),
        providers=frozenset(table.get("provider", ())),
        within_s=table.get("within_s"),
        printed=table.get("printed"),
        said=table.get("said"),
        last=table.get("last", False),
        until=None if until is None else Stage(until),
        seen=tuple(table.get("with", ())),
        unseen=tuple(table.get("without", ())),
    )


@cache
def _compiled(text: str) -> re.Pattern[str]:
    return re.compile(text)
