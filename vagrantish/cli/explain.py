"""``vx explain``: why a boot failed, and what to do; or how long each stage of it took."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from vagrantish.cli.options import wants_color
from vagrantish.cli.text import columns, guest_line
from vagrantish.diagnosis.causes import Severity
from vagrantish.diagnosis.stages import Stage
from vagrantish.errors import MachineNotFound, UsageError
from vagrantish.lifecycle import explain, look
from vagrantish.lifecycle.explain import Mark

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import BinaryIO

    from vagrantish.cli.app import App
    from vagrantish.diagnosis.verdict import Verdict
    from vagrantish.lifecycle.explain import Explanation, Row

EXAMPLES = (
    "vx explain",
    "vx explain web --previous",
    "vx explain --serial console.log --stderr xhyve.log",
    "vx explain --serial - --json",
)

_SIGNS = {Mark.REACHED: "✓", Mark.PASSED: "✓", Mark.FAILED: "✗", Mark.AHEAD: "·"}
_COLORS = {Mark.REACHED: "32", Mark.PASSED: "32", Mark.FAILED: "31", Mark.AHEAD: "90"}
_LINE_SHOWN = 70


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="default: the primary machine")
    parser.add_argument("--previous", action="store_true", help="the boot before this one")
    parser.add_argument(
        "--serial",
        metavar="FILE",
        help="the console of any guest, of whatever hypervisor; - is stdin",
    )
    parser.add_argument("--stderr", metavar="FILE", help="what its hypervisor wrote; - is stdin")


def run(args: argparse.Namespace, app: App) -> int:
    if args.serial is not None or args.stderr is not None:
        if args.name is not None or args.previous:
            raise UsageError(
                "a machine and logs of somebody are two questions",
                hint="Leave out NAME and --previous, or --serial and --stderr.",
            )
        subject, found = "", _of_logs(args.serial, args.stderr, app)
    else:
        subject, found = _of_machine(args, app)
    if app.options.json:
        app.answer_json("explain", _fields(subject, found))
        return 0
    color = wants_color(app.options.color, sys.stdout, app.env)
    app.answer("\n".join((*_table(found, color=color), "", *_told(subject, found))))
    return 0


def _of_machine(args: argparse.Namespace, app: App) -> tuple[str, Explanation]:
    name = app.one(args.name)
    view = look.look(app.home, app.xhyvefile().parent, name)
    if view.record is None:
        raise MachineNotFound(f"machine {name} is not created yet", hint=f"Run `vx up {name}`.")
    found = explain.explain_machine(app.home, view, previous=args.previous, cancel=app.cancel)
    return name, found


def _of_logs(serial: str | None, stderr: str | None, app: App) -> Explanation:
    if serial == stderr == "-":
        raise UsageError("both logs cannot come from stdin", hint="Name a file for one of them.")
    with ExitStack() as stack:
        opened = [_opened(path, stack) if path is not None else None for path in (serial, stderr)]
        return explain.explain_logs(opened[0], opened[1], cancel=app.cancel)


def _opened(path: str, stack: ExitStack) -> BinaryIO:
    if path == "-":
        return sys.stdin.buffer
    try:
        return stack.enter_context(open(path, "rb"))
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror or error}", hint="Name a file that you may read."
        ) from error


def _table(found: Explanation, *, color: bool) -> Iterator[str]:
    def sign(row: Row) -> str:
        text = _SIGNS[row.mark]
        return f"\x1b[{_COLORS[row.mark]}m{text}\x1b[0m" if color else text

    cells = [
        (row.stage.value, _seconds(row.at_s), _seconds(row.seconds), _line(row))
        for row in found.rows
    ]
    first, *lines = columns(("STAGE", "AT", "TOOK", "FIRST LINE"), cells).split("\n")
    yield f"  {first}"
    for row, line in zip(found.rows, lines, strict=True):
        yield f"{sign(row)} {line}"


def _line(row: Row) -> str:
    line = guest_line(row.line).strip()
    return line if len(line) <= _LINE_SHOWN else f"{line[: _LINE_SHOWN - 1]}…"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def _told(subject: str, found: Explanation) -> Iterator[str]:
    verdict = found.verdict
    if verdict is None:
        yield _healthy(subject, found)
    else:
        yield _headline(subject, found, verdict)
        if verdict.message:
            yield verdict.message
        if verdict.lines:
            yield "What shows it:"
            yield from (f"  | {guest_line(line)}" for line in verdict.lines)
        yield f"What to do: {verdict.hint}"
    for remark in found.remarks:
        how = "Harmless" if remark.cause.severity is Severity.HARMLESS else "Also seen"
        yield f"{how}: {remark.cause.say} ({remark.cause.id})"
        yield f"  | {guest_line(remark.line)}"


def _headline(subject: str, found: Explanation, verdict: Verdict) -> str:
    # What vx ended because of it says nothing by its end.
    what = verdict.event or found.told.split("\n")[0]
    if not what and found.ending is not None:
        what = found.ending.text
    if not what and found.stage is Stage.PROGRAM:
        what = "no guest showed itself"
    if not what:
        what = f"the {'boot' if subject else 'log'} ends at: {found.stage}"
    who = f"Machine {subject}: " if subject else ""
    return f"{who}{what} (cause: {verdict.cause_id})"


def _healthy(subject: str, found: Explanation) -> str:
    who = f"Machine {subject}" if subject else "This boot"
    if found.state == look.BOOTING:
        return f"{who} is booting, and nothing is wrong so far."
    if found.state == look.HALTED:
        return f"{who} booted well; it is halted now."
    return f"{who} is healthy." if subject else f"{who} went well."


def _fields(subject: str, found: Explanation) -> dict[str, object]:
    verdict, ending = found.verdict, found.ending
    return {
        "machine": subject or None,
        "state": found.state,
        "healthy": verdict is None,
        "boots": found.boots,
        "stage": found.stage.value,
        "stages": [
            {
                "stage": row.stage.value,
                "mark": row.mark.value,
                "at": row.at_s,
                "seconds": None if row.seconds is None else round(row.seconds, 6),
                "line": row.line or None,
            }
            for row in found.rows
        ],
        "cause": None
        if verdict is None
        else {
            "id": verdict.cause_id,
            "stage": verdict.stage.value,
            "event": verdict.event,
            "message": verdict.message,
            "hint": verdict.hint,
            "lines": list(verdict.lines),
            "others": list(verdict.others),
        },
        "remarks": [
            {"id": one.cause.id, "message": one.cause.say, "line": one.line}
            for one in found.remarks
        ],
        "ending": None
        if ending is None
        else {
            "kind": ending.kind.value,
            "text": ending.text,
            "status": ending.status,
            "seconds": ending.seconds,
        },
    }
