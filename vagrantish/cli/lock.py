"""``vx lock``: what the project boots, pinned to the byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx lock", "vx lock --update", "vx lock --update ubuntu")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "boxes", nargs="*", metavar="BOX", help="with --update: only these; default: all"
    )
    parser.add_argument(
        "--update", action="store_true", help="move to the newest the Xhyvefile allows"
    )


def run(args: argparse.Namespace, app: App) -> int:
    from vagrantish.lifecycle.locking import relock

    if args.boxes and not args.update:
        raise UsageError(
            "vx lock pins all of the project's boxes",
            hint=f"`vx lock --update {args.boxes[0]}` moves that one on.",
        )
    update = tuple(args.boxes) if args.update else None
    changes = relock(app.services, app.project(), update=update, op=app.op)
    path = app.services.pins.path
    assert path is not None
    if app.options.json:
        fields = [
            {"box": c.name, "asked": c.asked, "before": c.before, "after": c.after} for c in changes
        ]
        app.answer_json("lock", {"file": str(path), "changes": fields})
        return 0
    for change in changes:
        asked = f"{change.name}@{change.asked}" if change.asked else change.name
        if not change.before:
            app.answer(f"{asked}: {change.after}")
        elif not change.after:
            app.answer(f"{asked}: not asked for any more")
        else:
            app.answer(f"{asked}: {change.before} → {change.after}")
    app.say(f"{path.name} is up to date." if not changes else f"Wrote {path.name}. Commit it.")
    return 0
