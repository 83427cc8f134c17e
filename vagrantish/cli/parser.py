"""One verb's parser: options of every command, options of its own, in any order."""

from __future__ import annotations

import argparse
import os

from vagrantish import __version__
from vagrantish.cli.output import write_answer
from vagrantish.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, NoReturn

# Taken before the verb and after it. In the namespace their names have a prefix, so that a
# verb's own FILE is never mistaken for the one of every command.
GLOBAL_PREFIX = "global_"
GLOBAL_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("-h", "--help"), {"action": "help", "help": "show this help"}),
    (("--version",), {"action": "version", "version": f"vx {__version__}", "help": "show the version"}),
    (("-C", "--directory"), {"metavar": "DIR", "help": "act as if started in DIR"}),
    (("-f", "--file"), {"metavar": "FILE", "help": "use FILE instead of looking for an Xhyvefile"}),
    (
        ("--set",),
        {"metavar": "KEY=VALUE", "action": "append", "help": "override a setting; repeatable"},
    ),
    (
        ("--param",),
        {"metavar": "KEY=VALUE", "action": "append", "help": "override a parameter; repeatable"},
    ),
    (("--json",), {"action": "store_true", "help": "answer with one JSON object"}),
    (("--events",), {"action": "store_true", "help": "progress as JSON lines on stderr"}),
    (("-v", "--verbose"), {"action": "count", "default": 0, "help": "say more; -vv logs to debug vx"}),
    (("-q", "--quiet"), {"action": "store_true", "help": "only warnings and errors on stderr"}),
    (
        ("--color",),
        {
            "metavar": "WHEN",
            "choices": ("auto", "always", "never"),
            "default": "auto",
            "help": "auto, always or never",
        },
    ),
    (("-y", "--yes"), {"action": "store_true", "help": "answer yes to every question"}),
    (("--no-input",), {"action": "store_true", "help": "ask nothing: fail instead"}),
    (("--offline",), {"action": "store_true", "help": "use no network"}),
)  # fmt: skip
_USUAL_WIDTH = 78
_NARROWEST = 40
_WITH_VALUE = {flag for flags, how in GLOBAL_OPTIONS if "metavar" in how for flag in flags}
_WITHOUT_VALUE = {flag for flags, how in GLOBAL_OPTIONS if "metavar" not in how for flag in flags}


class _Format(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal. argparse makes one for each option added, to check its metavar,
    and would import shutil to ask for the width.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_width())


class Parser(argparse.ArgumentParser):
    """argparse that raises UsageError, suggests, and lets options stand among arguments.

    A positional with nargs REMAINDER is given all that follows ``--``, and nothing else.
    """

    def __init__(self, command: str, summary: str, examples: Sequence[str] = ()) -> None:
        self.command = command  # "box add"; "" for the words before the verb
        super().__init__(
            prog=f"vx {command}".rstrip(),
            description=f"{summary[:1].upper()}{summary[1:]}.",
            epilog="\n  ".join(["examples:", *examples]) if examples else None,
            formatter_class=_Format,
            add_help=False,
            allow_abbrev=False,
            conflict_handler="resolve",  # a verb's own -f wins over the one of every verb
        )
        self._positionals.title = "arguments"
        self.color = False  # from Python 3.14 on argparse would colour by itself; ours is --color
        self._rest: argparse.Action | None = None
        group = self.add_argument_group("options of every command")
        for flags, how in GLOBAL_OPTIONS:
            name = flags[-1].lstrip("-").replace("-", "_")
            group.add_argument(*flags, dest=GLOBAL_PREFIX + name, **how)

    def finish(self) -> None:
        """To be called once the verb has added its arguments."""
        for action in self.positionals():
            if action.nargs == argparse.REMAINDER:
                self._rest = action
                self._remove_action(action)
        shown = [self.prog, "[OPTIONS]", *map(_placeholder, self.positionals())]
        if self._rest is not None:
            shown.append(f"[{self._rest.metavar}]")
        self.usage = " ".join(shown)

    def positionals(self) -> list[argparse.Action]:
        return [action for action in self._actions if not action.option_strings]

    def options(self) -> list[argparse.Action]:
        return [action for action in self._actions if action.option_strings]

    def read(self, words: Sequence[str], namespace: argparse.Namespace) -> None:
        """Fill ``namespace``. Raises UsageError; SystemExit 0 once --help or --version is shown."""
        rest: Sequence[str] = ()
        if self._rest is not None and "--" in words:
            at = words.index("--")
            words, rest = words[:at], words[at + 1 :]
        options, positionals = self._sort(words)
        dashes = ["--"] if positionals else []
        _, surplus = self.parse_known_args([*options, *dashes, *positionals], namespace)
        for word in surplus:
            if word != "--":
                self.error(f"unexpected argument {word}")
        if self._rest is not None:
            setattr(namespace, self._rest.dest, list(rest))

    def _print_message(self, message: str, file: object = None) -> None:
        # For help and version. argparse's own swallows a stdout that is full or closed.
        del file
        write_answer(message)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"See `{self.prog} --help`.")

    def _sort(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        """Options, each joined to its value, and the rest.

        argparse by itself gives ``a --flag b`` to a list of names as ``a`` alone and then does not
        know ``b``; and it takes a value that starts with a dash for an option.
        """
        options: list[str] = []
        positionals: list[str] = []
        left = iter(words)
        for word in left:
            if word == "--":
                positionals += left
            elif word == "-" or not word.startswith("-"):
                positionals.append(word)
            else:
                options += self._option(word, left)
        return options, positionals

    def _option(self, word: str, following: Iterator[str]) -> list[str]:
        """One word that starts with a dash, and the word after it where that is its value."""
        known = self._option_string_actions
        if word.startswith("--"):
            name, joined, _ = word.partition("=")
            self._check_known(name)
            if joined or known[name].nargs is not None:
                return [word]
            return [f"{name}={self._value(name, following)}"]
        for at, letter in enumerate(word[1:], 1):
            name = f"-{letter}"
            self._check_known(name)
            if known[name].nargs is None:
                value = word[at + 1 :] or self._value(name, following)
                flags = [f"-{flag}" for flag in word[1:at]]
                long = known[name].option_strings[-1]
                return [*flags, *([f"{long}={value}"] if long != name else [f"{name}{value}"])]
        return [word]

    def _value(self, name: str, following: Iterator[str]) -> str:
        value = next(following, None)
        if value is None:
            self.error(f"option {name} needs a value")
        return value

    def _check_known(self, name: str) -> None:
        known = self._option_string_actions
        if name not in known:
            where = f" for `{self.prog}`" if self.command else ""
            hint = did_you_mean(name, [flag for flag in known if flag.startswith("--")])
            raise UsageError(
                f"unknown option {name}{where}", hint=hint or f"See `{self.prog} --help`."
            )


def split(words: Sequence[str]) -> tuple[Sequence[str], str | None, Sequence[str]]:
    """(options of every command, the first word that is none of them, the words after it)."""
    at = 0
    while at < len(words):
        taken = _global_length(words[at])
        if not taken:
            return words[:at], words[at], words[at + 1 :]
        at += taken
    return words, None, ()


def did_you_mean(word: str, known: Iterable[str], *, shown: str = "{}") -> str:
    """``Did you mean `x`?``, or nothing when nothing is close."""
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f"Did you mean `{shown.format(close[0])}`?" if close else ""


def _global_length(word: str) -> int:
    """How many words an option of every command takes; 0 when ``word`` is none of them."""
    if word.startswith("--"):
        name, joined, _ = word.partition("=")
        if name in _WITH_VALUE:
            return 1 if joined else 2
        return int(name in _WITHOUT_VALUE)
    if word == "-" or not word.startswith("-"):
        return 0
    for at, letter in enumerate(word[1:], 2):
        if f"-{letter}" in _WITH_VALUE:
            return 2 if at == len(word) else 1
        if f"-{letter}" not in _WITHOUT_VALUE:
            return 0
    return 1


def _width() -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and columns != "0":
        return max(int(columns[:4]) - 2, _NARROWEST)
    try:
        return max(os.get_terminal_size(1).columns - 2, _NARROWEST)
    except OSError:
        return _USUAL_WIDTH


def _placeholder(action: argparse.Action) -> str:
    """How a usage line shows a positional: ``NAME``, ``[NAME]``, ``[NAME ...]``."""
    name = str(action.metavar or action.dest.upper())
    return {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} ..."}.get(str(action.nargs), name)
