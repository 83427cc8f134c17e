"""``vx argv``: the exact hypervisor command, ready to paste."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx argv", "vx argv web --json", "vx argv --provider xhyve")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="default: the primary machine")
    parser.add_argument(
        "--provider",
        metavar="NAME",
        help="what that one would be given, on this host or another",
    )


def run(args: argparse.Namespace, app: App) -> int:
    import shlex

    from vagrantish.lifecycle.argv import argv

    name = app.one(args.name)
    words = argv(app.services, app.project(), name, provider=args.provider, op=app.op)
    if app.options.json:
        app.answer_json("argv", {"machine": name, "argv": list(words)})
    else:
        app.answer(shlex.join(words))
    return 0
