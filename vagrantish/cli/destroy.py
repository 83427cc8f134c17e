"""``vx destroy``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App
    from vagrantish.cli.places import Place
    from vagrantish.events import Op
    from vagrantish.lifecycle.halt import DestroyResult

from vagrantish.cli.halt import NAMES_HELP

EXAMPLES = ("vx destroy", "vx destroy web --yes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help=NAMES_HELP)
    parser.add_argument("-F", "--force", action="store_true", help="do not ask (same as --yes)")


def run(args: argparse.Namespace, app: App) -> int:
    from vagrantish.cli.places import places
    from vagrantish.lifecycle.halt import destroy
    from vagrantish.lifecycle.parallel import each_in_turn

    find = app.services.machines.find
    chosen = places(app, args.names)
    there = [p.name for p in chosen if p.machine_id or find(p.root, p.name) is not None]
    if there and not args.force:
        what = ", ".join(there)
        if not app.confirm(f"Destroy {what} and everything on its disk?"):
            app.say("Nothing was destroyed.")
            return 1

    def one(place: Place, op: Op) -> DestroyResult:
        return destroy(app.services, place.root, place.name, machine_id=place.machine_id, op=op)

    results = each_in_turn([(place.name, place) for place in chosen], one, op=app.op)
    if app.options.json:
        machines = [{"name": r.machine, "destroyed": r.existed} for r in results]
        app.answer_json("destroy", {"machines": machines})
        return 0
    for result in results:
        if not result.existed:
            app.say(f"{result.machine}: not created")
    return 0
