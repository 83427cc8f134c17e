"""What went wrong, told once: for people, or as one JSON object."""

from __future__ import annotations

import os
import sys

from vagrantish.cli.options import wants_color
from vagrantish.cli.output import AnswerCut, write_remark
from vagrantish.cli.text import guest_line
from vagrantish.errors import BootError, ConfigError, HostKeyChanged, VxError
from vagrantish.formats.guesttext import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SCHEMA = "vx.error/1"
BUG_STATUS = 70
INTERRUPTED_STATUS = 130
CUT_STATUS = 141  # what a shell shows for a program that SIGPIPE ended
BUG_LOG_MAX = 256 * 1024
_TRACE_MAX = 64 * 1024
_STAGE_SAID = ("it came as far as", "its console stayed empty")


class Style:
    """How this command line wants its failure told."""

    __slots__ = ("color", "events", "json", "traces")

    def __init__(self, *, json: bool, events: bool, color: bool, traces: bool = False) -> None:
        self.json = json
        self.events = events
        self.color = color
        self.traces = traces  # also where each failure was raised

    @classmethod
    def of_words(cls, words: Sequence[str], env: Mapping[str, str]) -> Style:
        """From a command line that may be too wrong to be parsed."""
        ours = words[: words.index("--")] if "--" in words else words
        color = "auto"
        for word, following in zip(ours, [*ours[1:], ""], strict=True):
            name, joined, value = word.partition("=")
            given = value if joined else following
            if name == "--color" and given in ("always", "never"):
                color = given
        return cls(
            json="--json" in ours,
            events="--events" in ours,
            color=wants_color(color, sys.stderr, env),
        )


def report(error: BaseException, style: Style, *, verb: str, bug_log: Path | None) -> int:
    """Tell it on stderr; the exit status of vx.

    ``bug_log`` keeps the trace of what is no failure of the user's; None when there is no home.
    """
    if isinstance(error, AnswerCut):
        return CUT_STATUS
    if isinstance(error, KeyboardInterrupt):
        told: Told = Told("interrupted", "interrupted", "", INTERRUPTED_STATUS)
    elif isinstance(error, VxError):
        told = Told.of(error)
    elif isinstance(error, OSError):
        from vagrantish.files import host_error

        told = Told.of(host_error(error, f"finish `vx {verb}`"))
    else:
        told = _bug(error, verb, bug_log)
    if style.traces and told.exit_status not in (BUG_STATUS, INTERRUPTED_STATUS):
        write_remark(clean(_trace(error)))
    if style.json or style.events:
        import json
        import time

        event = {"event": "error", "time": round(time.time(), 3)} if style.events else {}
        write_remark(json.dumps({**event, **told.fields()}) + "\n")
    else:
        write_remark("".join(f"{line}\n" for line in told.lines(color=style.color)))
    return told.exit_status


class Told:
    """One failure as it is shown. ``parts`` are those it consists of, by machine."""

    __slots__ = (
        "cause", "code", "console", "exit_status", "hint", "message", "parts", "problems", "stage",
    )  # fmt: skip

    def __init__(self, code: str, message: str, hint: str, exit_status: int) -> None:
        self.code = code
        self.message = message
        self.hint = hint
        self.exit_status = exit_status
        self.stage = ""
        self.cause = ""
        self.console: Sequence[str] = ()
        self.problems: Sequence[Mapping[str, str]] = ()
        self.parts: Sequence[tuple[str, Told]] = ()

    @classmethod
    def of(cls, error: VxError) -> Told:
        told = cls(error.code, error.message, error.hint, error.exit_status)
        if isinstance(error, BootError | HostKeyChanged):
            told.stage = error.stage
            told.cause = error.cause
        if isinstance(error, BootError):
            told.console = error.console
        if isinstance(error, ConfigError):
            told.problems = [
                {"where": p.where, "message": p.message, "hint": p.hint} for p in error.problems
            ]
        told.parts = [(name, cls.of(part)) for name, part in getattr(error, "failures", ())]
        return told

    def fields(self) -> dict[str, object]:
        """The object ``--json`` shows."""
        fields: dict[str, object] = {
            "schema": SCHEMA,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "exit_status": self.exit_status,
        }
        if self.problems:
            fields["problems"] = self.problems
        if self.stage:
            fields["stage"] = self.stage
        if self.cause:
            fields["cause"] = self.cause
        if self.console:
            fields["console"] = self.console
        if self.parts:
            fields["failures"] = [
                {"machine": name, **{k: v for k, v in part.fields().items() if k != "schema"}}
                for name, part in self.parts
            ]
        return fields

    def lines(self, *, color: bool) -> Iterator[str]:
        if self.exit_status == INTERRUPTED_STATUS:
            yield "vx: interrupted"
            return
        start = "\x1b[1;31mvx: error:\x1b[0m" if color else "vx: error:"
        if self.parts:
            yield f"{start} {len(self.parts)} machines failed"
            for name, part in self.parts:
                first, *others = part.body()
                yield f"  {name}: {first}"
                yield from (f"  {line}" for line in others)
            return
        first, *others = self.body()
        yield f"{start} {first}"
        yield from others

    def body(self) -> Iterator[str]:
        """The message, what there is to show for it, and the way on."""
        lines = clean(self.message).split("\n")
        if len(lines) > 1 and self.problems:
            lines.insert(0, f"{len(self.problems)} problems in the settings")
        yield lines[0]
        yield from (f"  {line}" for line in lines[1:])
        if self.stage and not any(said in self.message for said in _STAGE_SAID):
            yield f"  It came as far as: {clean(self.stage)}"
        if self.console:
            yield f"  {'What shows it:' if self.cause else 'The last lines of its console:'}"
            yield from (f"    | {guest_line(line)}" for line in self.console)
        for line in clean(self.hint).split("\n") if self.hint else ():
            yield f"  hint: {line}"


def _bug(error: BaseException, verb: str, bug_log: Path | None) -> Told:
    kept = bug_log is not None and _keep(bug_log, _trace(error), verb)
    if not kept:
        write_remark(clean(_trace(error)))
    where = f"What happened is in {bug_log}" if kept else "What happened stands above"
    name = type(error).__name__
    return Told(
        "bug",
        f"a bug in vx: {name}: {error}" if str(error) else f"a bug in vx: {name}",
        f"{where}; please report it with that.",
        BUG_STATUS,
    )


def _trace(error: BaseException) -> str:
    import traceback

    text = "".join(traceback.format_exception(error))
    if len(text) > _TRACE_MAX:
        half = _TRACE_MAX // 2
        text = f"{text[:half]}\n[…]\n{text[-half:]}"
    return text


def _keep(path: Path, trace: str, verb: str) -> bool:
    """Append to the log, dropping the oldest; False when that cannot be done.

    Only the verb is kept of the command line: parameters may be secrets.
    """
    import platform
    import time

    from vagrantish import __version__

    head = (
        f"--- {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} vx {__version__} {verb}, "
        f"Python {platform.python_version()}, {platform.platform()}\n"
    )
    entry = (head + trace).encode("utf-8", "backslashreplace")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "rb+") as file:
            if file.seek(0, os.SEEK_END) + len(entry) > BUG_LOG_MAX:
                file.seek(-min(file.tell(), BUG_LOG_MAX // 2), os.SEEK_END)
                newest = file.read().partition(b"\n--- ")[2]
                file.truncate(0)
                file.write(b"--- " + newest if newest else b"")
            file.write(entry)
    except OSError:
        return False
    return True
