"""``vx fetch``: everything a project needs, while there is a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx fetch", "vx fetch --locked")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--locked", action="store_true", help="what Xhyvefile.lock says, or nothing"
    )


def run(args: argparse.Namespace, app: App) -> int:
    from vagrantish.lifecycle.fetching import fetch_all

    app.use_lock(insist=args.locked)
    got = fetch_all(app.services, app.project(), op=app.op)
    if app.options.json:
        app.answer_json("fetch", {"boxes": list(got.boxes), "scripts": list(got.scripts)})
    else:
        things = [*got.boxes, *got.scripts]
        app.say(f"All is here: {', '.join(things) or 'the project needs nothing from the web'}.")
    return 0
