"""``vx reload``: halt, then up with the Xhyvefile as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx reload", "vx reload web --no-provision")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from vagrantish.cli import up

    up.add_arguments(parser)


def run(args: argparse.Namespace, app: App) -> int:
    from vagrantish.cli import up
    from vagrantish.cli.halt import halt_all
    from vagrantish.lifecycle.provisioning import check_only
    from vagrantish.lifecycle.up import check_restart

    app.use_lock(insist=args.locked)
    if not args.plan:
        # What is wrong with the settings must not cost a running machine.
        project = app.project(provider=args.provider)
        names = app.select(args.names)
        machines = [machine for machine in project.machines if machine.name in names]
        check_only(machines, args.only)
        check_restart(app.services, project, machines, op=app.op)
        app.forget_settings()  # a box that this has brought may have defaults
        halt_all(app, names, force=False)
    return up.run(args, app)
