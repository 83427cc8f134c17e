"""From the words of a command line to the function that answers them."""

from __future__ import annotations

import argparse

from vagrantish.cli.commands import COMMANDS, SYNONYMS, load, subcommands
from vagrantish.cli.parser import Parser, did_you_mean, split
from vagrantish.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vagrantish.cli.app import App
    from vagrantish.cli.commands import Command

    Run = Callable[[argparse.Namespace, App], int]

_HELP = ("-h", "--help")


class Invocation:
    """A parsed command line and what answers it."""

    __slots__ = ("args", "command", "run")

    def __init__(self, command: str, args: argparse.Namespace, run: Run) -> None:
        self.command = command  # "box list"
        self.args = args
        self.run = run


class _Front(Parser):
    """What stands before the verb; its help is the overview."""

    def format_help(self) -> str:
        from vagrantish.cli.overview import overview

        return overview()


def parse(words: Sequence[str]) -> Invocation:
    """Raises UsageError; SystemExit 0 once --help or --version is shown."""
    args = argparse.Namespace()
    head, verb, tail = split(words)
    if verb is None or verb.startswith("-"):
        _Front("", "").read(words, args)
        raise UsageError("no command given", hint="See `vx --help`.")
    options = [word for word in head if word not in _HELP]
    if verb == "help":
        _Front("", "").read(options, args)
        return Invocation("help", args, _help_on(tail))
    check_verb(verb)
    if options:
        _Front("", "").read(options, args)
    if len(options) < len(head):
        tail = [*tail, "--help"]
    parser, run, rest = _choose(verb, tail)
    parser.read(rest, args)
    return Invocation(parser.command, args, run)


def check_verb(verb: str) -> None:
    """Raises UsageError with the verb that was probably meant."""
    if verb in COMMANDS:
        return
    meant = SYNONYMS.get(verb)
    hint = f"Did you mean `vx {meant}`?" if meant else did_you_mean(verb, COMMANDS, shown="vx {}")
    raise UsageError(f"unknown command {verb}", hint=hint or "See `vx --help`.")


def parser_of(module: Command, verb: str) -> Parser:
    """The parser of a verb, without the verbs it has of its own."""
    parser = Parser(verb, COMMANDS[verb][1], module.EXAMPLES)
    module.add_arguments(parser)
    parser.finish()
    own = subcommands(module)
    if own:
        from vagrantish.cli.text import columns

        parser.usage = f"vx {verb} [OPTIONS] [COMMAND]"
        table = columns(
            ("commands:", ""), [(f"  {name}", sub.summary) for name, sub in own.items()]
        )
        parser.description = f"{parser.description}\n\n{table}"
    return parser


def sub_parser(module: Command, verb: str, name: str) -> Parser:
    """The parser of a verb's verb: ``box add``."""
    sub = subcommands(module)[name]
    parser = Parser(f"{verb} {name}", sub.summary, sub.examples)
    sub.add_arguments(parser)
    parser.finish()
    return parser


def _choose(verb: str, tail: Sequence[str]) -> tuple[Parser, Run, Sequence[str]]:
    module = load(verb)
    own = subcommands(module)
    head, name, rest = split(tail) if own else ((), None, ())
    if name is None or name.startswith("-"):
        return parser_of(module, verb), module.run, tail
    if name not in own:
        hint = did_you_mean(name, own, shown=f"vx {verb} {{}}")
        raise UsageError(f"unknown command {verb} {name}", hint=hint or f"See `vx {verb} --help`.")
    return sub_parser(module, verb, name), own[name].run, [*head, *rest]


def _help_on(words: Sequence[str]) -> Run:
    def run(_args: argparse.Namespace, app: App) -> int:
        if words:
            check_verb(words[0])
            parser, _, _ = _choose(words[0], words[1:2])
            app.answer(parser.format_help().rstrip("\n"))
        else:
            from vagrantish.cli.overview import overview

            app.answer(overview().rstrip("\n"))
        return 0

    return run
