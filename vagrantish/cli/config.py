"""``vx config``: the settings as they came out, and which file and line each is from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.cli.commands import Subcommand

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx config", "vx config --machine web --json", "vx config explain memory")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _machine_argument(parser, "only this machine's (default: every machine's)")


def run(args: argparse.Namespace, app: App) -> int:
    loaded = app.loaded()
    names = [app.one(args.machine)] if args.machine else [m.name for m in loaded.project.machines]
    if app.options.json:
        machines = {name: loaded.values(name) for name in names}
        app.answer_json("config", {"file": str(loaded.project.file), "machines": machines})
        return 0
    from vagrantish.cli.toml_text import document

    several = len(names) > 1
    tables = [document(loaded.values(n), ("machines", n) if several else ()) for n in names]
    app.answer("\n\n".join(tables))
    return 0


def _explain_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", help="a setting: memory, ssh.user")
    _machine_argument(parser, "as this machine has it (default: the primary one)")


def _explain(args: argparse.Namespace, app: App) -> int:
    machine = app.one(args.machine)
    found = app.loaded().explain(args.key, machine)
    if app.options.json:
        app.answer_json(
            "config-explain",
            {
                "machine": machine,
                "key": args.key,
                "value": found.value,
                "origin": found.origin,
                "overridden": list(found.overridden),
            },
        )
        return 0
    from vagrantish.cli.toml_text import value

    app.answer(f"{args.key} = {value(found.value)}")
    app.answer(f"  from {found.origin}")
    for origin in found.overridden:
        app.answer(f"  over {origin}")
    return 0


def _machine_argument(parser: argparse.ArgumentParser, help_text: str) -> None:
    parser.add_argument("--machine", metavar="MACHINE", help=help_text)


SUBCOMMANDS = {
    "explain": Subcommand(
        "where one setting is from",
        _explain_arguments,
        _explain,
        ("vx config explain memory", "vx config explain ssh.user --machine web"),
    )
}
