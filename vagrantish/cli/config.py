"""``vx config``: the settings as they came out, and which file and line each is from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.cli.commands import Subcommand

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

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

    tables = {name: loaded.values(name) for name in names}
    if len(names) == 1:
        app.answer(document(tables[names[0]]))
        return 0
    params = [table.pop("params") for table in tables.values()]  # the same for all
    app.answer(document({"params": params[0], "machines": tables}))
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
                "overridden": [{"value": v, "origin": where} for v, where in found.overridden],
                "help": found.help,
            },
        )
        return 0
    from vagrantish.cli.toml_text import value

    app.answer(f"{args.key} = {value(found.value)}")
    if found.help:
        app.answer(f"  {found.help}")
    app.answer(f"  from {found.origin}")
    for weaker, origin in found.overridden:
        app.answer(f"  instead of {value(weaker)} from {origin}")
    return 0


def keys(app: App) -> Iterable[str]:
    """What `config explain` may be asked for."""
    loaded = app.loaded()
    return _dotted(loaded.values(loaded.project.machines[0].name), "")


def _dotted(table: Mapping[str, Any], name: str) -> Iterator[str]:
    for key, item in table.items():
        if isinstance(item, dict):
            yield from _dotted(item, f"{name}{key}.")
        else:
            yield f"{name}{key}"


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
