"""``vx halt``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App
    from vagrantish.cli.places import Place
    from vagrantish.events import Op
    from vagrantish.lifecycle.halt import HaltResult

NAMES_HELP = "or an id of `vx global-status`; default: every machine"
EXAMPLES = ("vx halt", "vx halt web --force")


_UNSAID = ("not created", "was not running")  # of the others, progress has told


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help=NAMES_HELP)
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
    from vagrantish.cli.app import HALT_TIMEOUT_S
    from vagrantish.cli.places import places
    from vagrantish.lifecycle.halt import halt
    from vagrantish.lifecycle.parallel import each_in_turn

    chosen = places(app, names)

    def one(place: Place, op: Op) -> HaltResult:
        is_ours = place.machine_id is None
        grace_s = app.halt_timeout_s(place.name) if is_ours else HALT_TIMEOUT_S
        return halt(
            app.services,
            place.root,
            place.name,
            grace_s=0.0 if force else grace_s,
            machine_id=place.machine_id,
            op=op,
        )

    results = each_in_turn([(place.name, place) for place in chosen], one, op=app.op)
    return [(r.machine, r.outcome.value if r.outcome else "not created") for r in results]
