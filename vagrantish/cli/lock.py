"""``vx lock``: what the project boots, pinned to the byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx lock", "vx lock --update", "vx lock --update ubuntu", "vx up --locked")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--update", nargs="*", metavar="BOX",
        help="move to the newest the Xhyvefile allows: this box, or all of them",
    )  # fmt: skip


def run(args: argparse.Namespace, app: App) -> int:
    from vagrantish.lifecycle.locking import relock

    project = app.project()
    changes = relock(app.services, project, update=args.update, op=app.op)
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
