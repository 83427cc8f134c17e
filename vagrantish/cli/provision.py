"""``vx provision``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx provision", "vx provision web --only motd --force")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from vagrantish.cli.up import add_step_arguments

    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every running machine")
    add_step_arguments(parser)
    parser.add_argument("--jobs", type=int, metavar="N", help="machines at a time")


def run(args: argparse.Namespace, app: App) -> int:
    from vagrantish.lifecycle.provisioning import provision

    project = app.project()
    wanted = set(app.select(args.names, everything=True))
    machines = [machine for machine in project.machines if machine.name in wanted]
    results = provision(
        app.services,
        project,
        machines,
        only=tuple(args.only),
        force=args.force,
        running_only=not args.names,
        jobs=app.jobs(args.jobs),
        op=app.op,
    )
    if app.options.json:
        answer = [
            {"name": name, "steps": [{"name": s.name, "status": s.status} for s in steps]}
            for name, steps in results
        ]
        app.answer_json("provision", {"machines": answer})
        return 0
    for name, steps in results:
        if not steps:
            app.say(f"{name}: nothing to do")
    return 0
