"""``vx console``: the guest's serial console, live."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx console", "vx console web")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="default: the primary machine")


def run(args: argparse.Namespace, app: App) -> int:
    from vagrantish.lifecycle import connect
    from vagrantish.provider.console import attach

    name = app.one(args.name)
    view = connect.running_view(app.home, app.xhyvefile().parent, name)
    if view.record is None:
        return 1
    attach(app.home.machine(view.record.id), stdin_fd=0, stdout_fd=1, op=app.op.on(name))
    return 0
