"""``vx destroy``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx destroy", "vx destroy web --yes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every machine")
    parser.add_argument("-F", "--force", action="store_true", help="do not ask (same as --yes)")


def run(args: argparse.Namespace, app: App) -> int:
    from vagrantish.lifecycle import look
    from vagrantish.lifecycle.halt import destroy

    root = app.xhyvefile().parent
    names = app.select(args.names, everything=True)
    there = [n for n in names if look.look(app.home, root, n).record is not None]
    if there and not args.force:
        what = ", ".join(there)
        if not app.confirm(f"Destroy {what} and everything on its disk?"):
            app.say("Nothing was destroyed.")
            return 1
    results = [destroy(app.services, root, name, op=app.op.on(name)) for name in names]
    if app.options.json:
        machines = [{"name": r.machine, "destroyed": r.existed} for r in results]
        app.answer_json("destroy", {"machines": machines})
        return 0
    for result in results:
        if not result.existed:
            app.say(f"{result.machine}: not created")
    return 0
