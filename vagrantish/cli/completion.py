"""``vx completion``: scripts for shells, and the names those ask for at each TAB."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from vagrantish.cli.app import App

EXAMPLES = (
    "source <(vx completion bash)",
    "vx completion zsh > ~/.zfunc/_vx",
    "vx completion fish > ~/.config/fish/completions/vx.fish",
)
SHELLS = ("bash", "zsh", "fish")
_NAMES = ("machines", "boxes", "keys")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    import argparse

    parser.add_argument("shell", nargs="?", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    parser.add_argument("--names", choices=_NAMES, help=argparse.SUPPRESS)


def run(args: argparse.Namespace, app: App) -> int:
    if args.names:
        return _answer_names(args.names, app)
    if args.shell is None:
        from vagrantish.errors import UsageError

        raise UsageError(
            "vx completion needs the name of a shell",
            hint=f"Use one of {', '.join(SHELLS)}: see `vx completion --help`.",
        )
    from importlib import import_module

    from vagrantish.cli.completions.grammar import verbs

    script: str = import_module(f"vagrantish.cli.completions.{args.shell}").script(verbs())
    if app.options.json:
        app.answer_json("completion", {"shell": args.shell, "script": script})
    else:
        app.answer(script.rstrip("\n"))
    return 0


def _answer_names(kind: str, app: App) -> int:
    """One a line. Silent where there is nothing to offer: an error in a TAB helps nobody."""
    from vagrantish.errors import VxError

    try:
        for name in _names(kind, app):
            app.answer(name)
    except (VxError, OSError):
        return 1
    return 0


def _names(kind: str, app: App) -> Iterable[str]:
    if kind == "machines":
        return [machine.name for machine in app.machine_names()]
    if kind == "keys":
        from vagrantish.cli.config import keys

        return keys(app)
    found = {name for box in app.services.boxes.list() for name in (box.name, box.label)}
    return sorted(found | {"micro"})
