"""``vx box prune``: what goes, shown and agreed to before it does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vagrantish.box import upkeep_prune
from vagrantish.cli.box_upkeep import lock_here
from vagrantish.errors import UsageError
from vagrantish.lifecycle.keeping import needs_of
from vagrantish.units import format_size, parse_duration, parse_size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from vagrantish.box.upkeep_prune import Budget, Judged, Needs, Plan
    from vagrantish.cli.app import App

_COLUMNS = ("BOX", "ARCH", "USED", "SIZE", "WHAT BECOMES OF IT")
_DAYS = {"d": 86400.0, "w": 7 * 86400.0}


def prune(args: argparse.Namespace, app: App) -> int:
    budget = _budget(args)
    lock = lock_here(app)

    def needs() -> Needs:
        return needs_of(app.services, locks=[lock] if lock else [])

    plan = upkeep_prune.survey(app.services.boxes, app.home, needs, budget, op=app.op)
    for why in plan.unclear:
        app.op.warn(f"No box is removed: {why}")
    if args.dry_run:
        _tell_plan(plan, app)
        return 0
    if plan.going and not _is_agreed(plan, app):
        app.say("Nothing was removed.")
        return 1
    keys = {judged.key for judged in plan.going}
    done = upkeep_prune.prune(app.services.boxes, app.home, needs, budget, only=keys, op=app.op)
    if app.options.json:
        app.answer_json("box-prune", {"dry_run": False, **_plan_fields(done)})
    elif done.is_empty:
        app.say("Nothing to remove: `vx box prune --dry-run` says why each box stays.")
    else:
        app.say(f"Freed {format_size(done.freed_bytes)}{_leftovers_told(done)}.")
    return 0


def _tell_plan(plan: Plan, app: App) -> None:
    if app.options.json:
        app.answer_json("box-prune", {"dry_run": True, **_plan_fields(plan)})
        return
    if plan.boxes:
        app.columns(_COLUMNS, _plan_rows(plan.boxes))
    app.answer(f"Would free {format_size(plan.freed_bytes)}{_leftovers_told(plan)}.")


def _is_agreed(plan: Plan, app: App) -> bool:
    from vagrantish.cli.text import columns

    app.say(columns(_COLUMNS[:-1], [row[:-1] for row in _plan_rows(plan.going)]))
    count = "1 box" if len(plan.going) == 1 else f"{len(plan.going)} boxes"
    return app.confirm(f"Remove {count}, and free {format_size(plan.freed_bytes)}?")


def _budget(args: argparse.Namespace) -> Budget:
    older = most = None
    try:
        if args.older_than is not None:
            number, unit = args.older_than[:-1], args.older_than[-1:]
            if unit in _DAYS and number.isascii() and number.isdigit():
                older = int(number) * _DAYS[unit]
            else:
                older = parse_duration(args.older_than)
        if args.max_size is not None:
            most = 0 if args.max_size == "0" else parse_size(args.max_size)
    except ValueError as error:
        raise UsageError(str(error), hint="As in --older-than 30d, --max-size 20GiB.") from error
    return upkeep_prune.Budget(older_than_s=older, max_bytes=most, own_files=args.all)


def _plan_rows(boxes: Iterable[Judged]) -> list[tuple[str, ...]]:
    return [
        (
            judged.box.label,
            judged.box.arch,
            _ago(judged.used_at),
            format_size(judged.size_bytes),
            f"stays: {judged.stays}" if judged.stays else "goes",
        )
        for judged in boxes
    ]


def _leftovers_told(plan: Plan) -> str:
    """What goes beside the files of boxes that go."""
    raws = sum(file.raw for file in plan.files)
    counts = ((raws, "raw copy", "raw copies"), (len(plan.downloads), "download", "downloads"))
    told = [f"{count} {one if count == 1 else many}" for count, one, many in counts if count]
    return f", {' and '.join(told)} among it" if told else ""


def _plan_fields(plan: Plan) -> dict[str, object]:
    return {
        "freed": plan.freed_bytes,
        "size": plan.total_bytes - plan.freed_artifact_bytes,
        "boxes": [_judged_fields(judged) for judged in plan.boxes],
        "files": [
            {"path": str(file.path), "size": file.size_bytes, "raw_copy": file.raw}
            for file in plan.files
        ],
        "downloads": [{"path": str(path), "size": size} for path, size in plan.downloads],
        "unclear": list(plan.unclear),
    }


def _judged_fields(judged: Judged) -> dict[str, object]:
    box = judged.box
    return {
        "name": box.name,
        "version": box.version,
        "arch": box.arch,
        "size": judged.size_bytes,
        "used_at": judged.used_at,
        "removed": not judged.stays,
        "stays": judged.stays or None,
    }


def _ago(then: float) -> str:
    seconds = max(0.0, time.time() - then)
    for length, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {word}{'s' if count > 1 else ''} ago"
    return "just now"
