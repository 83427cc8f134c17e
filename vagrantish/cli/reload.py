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

    if not args.plan:
        app.project(provider=args.provider)  # a broken Xhyvefile must not cost a running machine
        halt_all(app, app.select(args.names), force=False)
    return up.run(args, app)
