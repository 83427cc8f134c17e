"""``vx doctor``: what is wrong here, and what to do about it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from vagrantish.cli.options import wants_color
from vagrantish.errors import NoXhyvefile, VxError
from vagrantish.formats.guesttext import clean
from vagrantish.lifecycle.doctor import examine
from vagrantish.lifecycle.doctor.finding import Finding, Level

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from vagrantish.cli.app import App
    from vagrantish.model import Project

EXAMPLES = ("vx doctor", "vx doctor --fix", "vx doctor network xhyve", "vx doctor --json")

_SIGNS = {Level.OK: "✓", Level.NOTE: "·", Level.WARNING: "!", Level.ERROR: "✗"}
_COLORS = {Level.OK: "32", Level.NOTE: "36", Level.WARNING: "33", Level.ERROR: "31"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "areas",
        nargs="*",
        metavar="AREA",
        help=f"only these: {', '.join(examine.AREAS)}, or single checks such as host.space",
    )
    parser.add_argument("--fix", action="store_true", help="mend what can be mended safely")


def run(args: argparse.Namespace, app: App) -> int:
    examine.check_areas(args.areas)
    project, trouble = _project(app)
    found = _look(app, project, trouble, args.areas)
    fixed: list[Finding] = []
    if args.fix:
        fixed, failed = _fix(found, app)
        if fixed:
            found = _look(app, project, trouble, args.areas)
        found += failed
    if app.options.json:
        app.answer_json(
            "doctor",
            {"findings": [_fields(f) for f in found], "fixed": [_fields(f) for f in fixed]},
        )
    else:
        import sys

        color = wants_color(app.options.color, sys.stdout, app.env)
        app.answer("\n".join(_lines(found, fixed, color=color)))
        app.say(_summary(found, fixed=bool(args.fix)))
    return 1 if any(finding.level is Level.ERROR for finding in found) else 0


def _project(app: App) -> tuple[Project | None, Finding | None]:
    """The project here, if there is one, or what is wrong with it."""
    try:
        return app.loaded().project, None
    except NoXhyvefile:
        return None, None
    except VxError as error:
        return None, Finding(
            id="project.xhyvefile", level=Level.ERROR, text=error.message, hint=error.hint
        )


def _look(
    app: App, project: Project | None, trouble: Finding | None, areas: Sequence[str]
) -> list[Finding]:
    found = list(examine.examine(app.services, project, areas, op=app.op))
    return [*found, trouble] if trouble and examine.is_wanted(trouble.id, areas) else found


def _fix(found: Iterable[Finding], app: App) -> tuple[list[Finding], list[Finding]]:
    """Those that were mended, and what went wrong with others."""
    fixed, failed = [], []
    for finding in found:
        if finding.fix is None:
            continue
        try:
            finding.fix(app.op)
        except (VxError, OSError) as error:
            failed.append(
                Finding(
                    id=finding.id,
                    level=Level.ERROR,
                    text=f"this could not be mended: {error}",
                    hint=getattr(error, "hint", ""),
                    subject=finding.subject,
                )
            )
        else:
            fixed.append(finding)
    return fixed, failed


def _lines(found: Sequence[Finding], fixed: Sequence[Finding], *, color: bool) -> Iterator[str]:
    width = max((len(finding.id) for finding in found), default=0)
    for _, findings in groupby(found, key=lambda finding: finding.area):
        for finding in findings:
            first, *others = clean(finding.text).split("\n")
            yield f"{_sign(finding.level, color=color)} {finding.id:<{width}}  {first}"
            indent = " " * (width + 4)
            yield from (f"{indent}{line}" for line in others)
            if finding.level is not Level.OK and finding.hint:
                yield from (f"{indent}→ {line}" for line in clean(finding.hint).split("\n"))
    for finding in fixed:
        yield f"{_sign(Level.OK, color=color)} {finding.id:<{width}}  mended: {clean(finding.text)}"


def _sign(level: Level, *, color: bool) -> str:
    return f"\x1b[{_COLORS[level]}m{_SIGNS[level]}\x1b[0m" if color else _SIGNS[level]


def _summary(found: Sequence[Finding], *, fixed: bool) -> str:
    errors = sum(finding.level is Level.ERROR for finding in found)
    warnings = sum(finding.level is Level.WARNING for finding in found)
    if not errors and not warnings:
        return "Nothing is wrong."
    parts = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in ((errors, "error"), (warnings, "warning"))
        if count
    ]
    can = any(finding.fix for finding in found) and not fixed
    return " and ".join(parts) + (". `vx doctor --fix` mends some of it." if can else ".")


def _fields(finding: Finding) -> dict[str, object]:
    return {
        "id": finding.id,
        "level": finding.level.value,
        "subject": finding.subject or None,
        "text": finding.text,
        "hint": finding.hint,
        "fixable": finding.fix is not None,
    }
