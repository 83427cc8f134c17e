"""The whole grammar of the command line as data: what may stand where."""

from __future__ import annotations

import argparse

from vagrantish.cli.commands import COMMANDS, load, subcommands
from vagrantish.cli.invocation import parser_of, sub_parser
from vagrantish.cli.parser import Parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# What stands for a value in the help → what may be offered for it.
_KINDS = {
    "BOX": "boxes",
    "DIR": "dirs",
    "DST": "files",
    "FILE": "files",
    "KEY": "keys",
    "MACHINE": "machines",
    "PATH": "files",
    "SRC": "files",
    "WHAT": "files",
}


class Option:
    """``kind`` says what its value may be: None, "" (anything), a kind, or "words:a,b"."""

    __slots__ = ("flags", "help", "kind")

    def __init__(self, flags: tuple[str, ...], kind: str | None, help_text: str) -> None:
        self.flags = flags
        self.kind = kind
        self.help = help_text


class Verb:
    """``arguments`` are the kinds of its positionals; a last one that repeats ends in ``*``."""

    __slots__ = ("arguments", "name", "options", "verbs")

    def __init__(
        self,
        name: str,
        verbs: tuple[tuple[str, str], ...],
        options: tuple[Option, ...],
        arguments: tuple[str, ...],
    ) -> None:
        self.name = name
        self.verbs = verbs  # (name, summary) of what may follow
        self.options = options
        self.arguments = arguments


def verbs() -> Iterator[Verb]:
    """``""`` first: what may stand before any verb."""
    front = Parser("", "")
    every = tuple((name, summary) for name, (_, summary) in COMMANDS.items())
    helped = ("help", "explain a command")
    yield _verb("", front, (*every, helped))
    yield Verb("help", every, (), ())
    for name in COMMANDS:
        module = load(name)
        own = subcommands(module)
        yield _verb(name, parser_of(module, name), tuple((s, own[s].summary) for s in own))
        for sub in own:
            yield _verb(f"{name} {sub}", sub_parser(module, name, sub), ())


def _verb(name: str, parser: Parser, following: tuple[tuple[str, str], ...]) -> Verb:
    options = tuple(
        Option(
            tuple(action.option_strings), _value_kind(action), (action.help or "") % vars(action)
        )
        for action in parser.options()
        if action.help != argparse.SUPPRESS
    )
    arguments = tuple(_argument_kind(action) for action in parser.positionals())
    return Verb(name, following, options, arguments)


def _value_kind(option: argparse.Action) -> str | None:
    if option.nargs is not None:
        return None
    return _words(option) or _KINDS.get(str(option.metavar), "")


def _argument_kind(argument: argparse.Action) -> str:
    name = str(argument.metavar)
    kind = _words(argument) or _KINDS.get(name, "machines" if name == "NAME" else "")
    return f"{kind}*" if argument.nargs in ("*", "+") else kind


def _words(action: argparse.Action) -> str:
    return f"words:{','.join(map(str, action.choices))}" if action.choices else ""
