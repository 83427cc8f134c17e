"""``vx halt``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx halt", "vx halt web --force")


_UNSAID = ("not created", "was not running")  # of the others, progress has told


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every machine")
    parser.add_argument("-F", "--force", action="store_true", help="cut the power at once")


def run(args: argparse.Namespace, app: App) -> int:
    results = halt_all(app, args.names, force=args.force)
    if app.options.json:
        machines = [{"name": name, "outcome": outcome} for name, outcome in results]
        app.answer_json("halt", {"machines": machines})
        return 0
    for name, outcome in results:
        if outcome in _UNSAID:
            app.say(f"{name}: {outcome}")
    return 0


def halt_all(app: App, names: list[str], *, force: bool) -> list[tuple[str, str]]:
    """Halt machines one after the other; (name, what came of it) each."""
    from vagrantish.lifecycle.halt import halt

    root = app.xhyvefile().parent
    outcomes = []
    for name in app.select(names, everything=True):
        grace_s = 0.0 if force else app.halt_timeout_s(name)
        result = halt(app.services, root, name, grace_s=grace_s, op=app.op.on(name))
        outcomes.append((name, result.outcome.value if result.outcome else "not created"))
    return outcomes
