"""Why a boot failed, or how it went: from a machine's logs, or from anyone's."""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from vagrantish.diagnosis.causes import Place, Severity, State
from vagrantish.diagnosis.endings import EndingKind
from vagrantish.diagnosis.reader import Reader
from vagrantish.diagnosis.stages import Stage
from vagrantish.errors import MachineError
from vagrantish.lifecycle import bootnote, look

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from vagrantish.diagnosis.endings import Ending
    from vagrantish.diagnosis.verdict import Sighting, Verdict
    from vagrantish.events import Cancel
    from vagrantish.lifecycle.bootnote import BootNote
    from vagrantish.lifecycle.look import View
    from vagrantish.paths import VxHome

_CHUNK = 1 << 16
_KEPT = 32  # chunks from either end of a log that are read: a boot is there, or its end
_STREAM_MAX = 1 << 28  # bytes; whoever pipes more pipes something that never ends
_QUIET_S = 10.0
_STALLED_S = 60.0
# What only the one who waited for the boot could see, by the cause it found.
_STATES = {
    state.value: (state,)
    for state in (
        State.NO_ADDRESS,
        State.NO_SSHD,
        State.LOGIN_REFUSED,
        State.HOST_KEY,
        State.TIMED_OUT,
    )
} | {"reboot-loop": (State.REBOOTING,)}


class Mark(StrEnum):
    REACHED = "reached"
    PASSED = "passed"  # a later one was reached, and this one said nothing
    FAILED = "failed"
    AHEAD = "ahead"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One stage of the boot."""

    stage: Stage
    mark: Mark
    at_s: float | None  # by the guest's own clock
    seconds: float | None  # until the next one
    line: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    state: str  # a machine's, or "log"
    boots: int  # how often the log shows a kernel starting
    rows: tuple[Row, ...]
    stage: Stage  # how far it came
    ending: Ending | None
    told: str  # what `vx up` said of it; "" where it said nothing
    verdict: Verdict | None  # None: nothing is wrong
    remarks: tuple[Sighting, ...]  # what else was seen, and explains nothing


def explain_machine(
    home: VxHome, view: View, *, previous: bool = False, cancel: Cancel
) -> Explanation:
    """Raises MachineError where the machine has no such log yet."""
    assert view.record is not None
    layout = home.machine(view.record.id)
    console = layout.previous_console_log if previous else layout.console_log
    if not console.exists() and (previous or not layout.provider_log.exists()):
        raise MachineError(
            f"machine {view.name} has no log of {'the boot before' if previous else 'a boot'}",
            hint=f"Run `vx up {view.name}`.",
        )
    reader = Reader()
    _feed_file(reader, console, Place.CONSOLE, cancel)
    if previous:
        return _explained(reader, "log", _of_log(reader))
    _feed_file(reader, layout.provider_log, Place.STDERR, cancel)
    _feed_file(reader, layout.provider_out, Place.STDOUT, cancel)
    ending = None
    if view.process is None:
        from vagrantish.provider.supervisor import ended

        if told := ended.read(layout):
            ending = told.ending
            if not layout.provider_log.exists():
                reader.feed(told.stderr.encode() + b"\n", Place.STDERR)
    note = bootnote.read(layout)
    if note is not None and not note.ready and view.state != look.RUNNING:
        states: tuple[State, ...] = _STATES.get(note.cause, (State.STALLED,))
        if ending is not None and ending.kind is not EndingKind.KILLED:
            reader.end(ending)
    else:
        was_ready = note is not None and note.ready
        states = _of_machine(reader, view, ending, console, was_ready=was_ready)
    return _explained(reader, view.state, states, ending, note)


def explain_logs(
    serial: BinaryIO | None, stderr: BinaryIO | None, *, cancel: Cancel
) -> Explanation:
    """Logs of anybody: what a serial port or a terminal showed, and an error stream."""
    reader, kept = Reader(), b""
    if serial is not None:
        for chunk in ends_of(serial, cancel):
            reader.feed(chunk)
            kept = (kept + chunk)[: 1 << 20]
    if stderr is not None:
        for chunk in ends_of(stderr, cancel):
            reader.feed(chunk, Place.STDERR)
    elif kept and reader.stage.order <= Stage.FIRMWARE.order and not reader.is_fatal:
        # No guest wrote this: it is what a terminal showed of the hypervisor's start.
        other = Reader()
        for place in (Place.STDERR, Place.STDOUT, Place.LAUNCHER):
            other.feed(kept + b"\n", place)
        if other.is_fatal:
            return _explained(other, "log", ())
    return _explained(reader, "log", _of_log(reader))


def ends_of(file: BinaryIO, cancel: Cancel) -> Iterator[bytes]:
    """Its first and its last pieces, all of it where it is not long."""
    last: deque[bytes] = deque(maxlen=_KEPT)
    info = os.fstat(file.fileno()) if hasattr(file, "fileno") else None
    if info is not None and stat.S_ISREG(info.st_mode) and info.st_size > 2 * _KEPT * _CHUNK:
        yield from _pieces(file, _KEPT * _CHUNK, cancel)
        file.seek(-_KEPT * _CHUNK, os.SEEK_END)
        yield b"\n"
        yield from _pieces(file, _KEPT * _CHUNK, cancel)
        return
    for number, chunk in enumerate(_pieces(file, _STREAM_MAX, cancel)):
        if number < _KEPT:
            yield chunk
        else:
            last.append(chunk)
    yield from last


def _pieces(file: BinaryIO, limit: int, cancel: Cancel) -> Iterator[bytes]:
    while limit > 0 and (chunk := file.read(min(_CHUNK, limit))):
        cancel.check()
        limit -= len(chunk)
        yield chunk


def _feed_file(reader: Reader, path: Path, place: Place, cancel: Cancel) -> None:
    try:
        with path.open("rb") as file:
            for chunk in ends_of(file, cancel):
                reader.feed(chunk, place)
    except FileNotFoundError:
        return


def _of_log(reader: Reader) -> tuple[State, ...]:
    """A log that ends before anybody could log in is one of a boot that stalled."""
    if reader.stage.order >= Stage.SSHD.order:
        return ()
    return (State.REBOOTING,) if reader.is_looping else (State.STALLED,)


def _of_machine(
    reader: Reader, view: View, ending: Ending | None, console: Path, *, was_ready: bool
) -> tuple[State, ...]:
    if view.state == look.RUNNING:
        return ()
    if view.state == look.BOOTING:
        quiet_s = _age_s(console)
        if reader.stage.order >= Stage.LOGIN.order or reader.is_decided:
            return (State.NO_SSHD,) if quiet_s > _QUIET_S else ()
        return (State.STALLED,) if quiet_s > _STALLED_S else ()
    if (was_ready or reader.stage.order >= Stage.SSHD.order) and not _is_bad(ending):
        return ()
    # What vx itself ended, as it does with a boot that failed, says nothing by its end.
    if ending is not None and ending.kind is not EndingKind.KILLED:
        reader.end(ending)
        return ()
    return (State.STALLED,)


def _is_bad(ending: Ending | None) -> bool:
    return ending is not None and ending.kind in (EndingKind.CRASHED, EndingKind.FAILED_TO_START)


def _age_s(path: Path) -> float:
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return float("inf")


def _explained(
    reader: Reader,
    state: str,
    states: Sequence[State],
    ending: Ending | None = None,
    note: BootNote | None = None,
) -> Explanation:
    was_ready = state == look.RUNNING or (note is not None and note.ready)
    verdict = reader.verdict(*states)
    told = () if verdict is None else (verdict.cause_id, *verdict.others)
    return Explanation(
        state=state,
        boots=reader.boots,
        rows=_rows(reader, verdict, Stage.SSHD if was_ready else reader.stage),
        stage=reader.stage,
        ending=ending,
        told=note.message if note is not None else "",
        verdict=verdict,
        remarks=tuple(
            one
            for one in reader.remarks()
            if one.cause.id not in told or one.cause.severity is Severity.HARMLESS
        ),
    )


def _rows(reader: Reader, verdict: Verdict | None, known: Stage) -> tuple[Row, ...]:
    """``known``: how far it came by all accounts; a console may have said nothing of it."""
    reached = {one.stage: one for one in reader.reached}
    times = [one.at_s for one in reader.reached]
    rows = []
    for stage in Stage:
        one = reached.get(stage)
        mark = Mark.AHEAD
        if verdict is not None and stage is verdict.stage:
            mark = Mark.FAILED
        elif one is not None:
            mark = Mark.REACHED
        elif stage.order < reader.stage.order or stage.order <= known.order != 0:
            mark = Mark.PASSED
        at_s = one.at_s if one is not None else None
        later = [t for t in times if t is not None and at_s is not None and t > at_s]
        rows.append(
            Row(
                stage=stage,
                mark=mark,
                at_s=at_s,
                seconds=min(later) - at_s if later and at_s is not None else None,
                line=one.line if one is not None else "",
            )
        )
    return tuple(rows)
