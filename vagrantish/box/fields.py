"""The tables of a box.toml, read key by key; all that is wrong with them is told at once."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from vagrantish.box import reference
from vagrantish.errors import BoxError, ConfigError, Problem
from vagrantish.model import BootMode, RootKind, SeedKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vagrantish.model import Digest
    from vagrantish.toml import Document, KeyPath

FILE_NAME = "box.toml"
SIZE_MAX = 64 << 10
ARCHES = ("x86_64", "aarch64")
CPU_LEVELS = ("x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4")
CMDLINE_MAX = 2046  # what every x86 boot loader can hand over
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
CONSOLE = re.compile(r"(tty[A-Z]{1,4}|hvc)[0-9]{1,2}")
DESCRIPTION_MAX = 1000
_NESTING_MAX = 8
_TOLD_MAX = 100
_SHOWN_MAX = 80


def open_table(text: str, source: str) -> Fields:
    """The whole of a box.toml. Raises BoxError when it is not TOML."""
    from vagrantish import toml

    try:
        document = toml.parse(text, FILE_NAME)
    except ConfigError as error:
        raise unusable(source, error.problems) from error
    return Fields(document, (), document.table, [])


def unusable(source: str, problems: Iterable[Problem]) -> BoxError:
    """``source`` names where the box.toml came from."""
    told = sorted(problems, key=_line_of)
    lines = [f"  {problem}" for problem in told[:_TOLD_MAX]]
    if len(told) > _TOLD_MAX:
        lines.append(f"  and {len(told) - _TOLD_MAX} more")
    return BoxError(
        "\n".join((f"{FILE_NAME} of {source} cannot be used:", *lines)),
        hint="docs/boxes.md describes every key.",
    )


def _line_of(problem: Problem) -> int:
    line = problem.where.partition(":")[2]
    return int(line) if line.isdecimal() else 0


class Fields:
    """One table. What a method answers after it has found fault is of the right type, no more."""

    def __init__(
        self, document: Document, path: KeyPath, table: dict[str, Any], problems: list[Problem]
    ) -> None:
        self.path = path
        self.table = table
        self.problems = problems
        self._document = document

    def __contains__(self, key: str) -> bool:
        return key in self.table

    def problem(self, key: str, message: str, hint: str = "", *, below: str | int = "") -> None:
        path = (*self.path, key, below) if below != "" else (*self.path, key)
        known = key in self.table or self.path
        where = self._document.where(path) if known else self._document.name
        self.problems.append(Problem(where, message, hint))

    def refuse_others(self, known: Iterable[str]) -> None:
        known = tuple(known)
        for key in self.table:
            if key not in known:
                text = f'unknown key "{shown(key)}"'
                self.problem(key, text, did_you_mean(key, known))

    # --- tables ---------------------------------------------------------------------------

    def below(self, key: str) -> Fields | None:
        """The table at ``key``; None when there is none."""
        table = self.table.get(key)
        if isinstance(table, dict):
            return Fields(self._document, (*self.path, key), table, self.problems)
        if table is not None:
            self.problem(key, f'"{shown(key)}" is a table, not {kind_of(table)}')
        return None

    def defaults(self) -> dict[str, Any]:
        """A layer of settings, whose meaning is looked at when it is used."""
        table = self.below("defaults")
        if table is None:
            return {}
        bad = _not_plain(table.table, 0)
        if bad:
            self.problem("defaults", f'"defaults" holds {bad}')
            return {}
        return table.table

    # --- texts ----------------------------------------------------------------------------

    def string(self, key: str, default: str | None) -> str:
        """Without a default it must be given."""
        value = self.table.get(key, default)
        if value is None:
            self.problem(key, f'"{key}" is missing')
            return ""
        if not isinstance(value, str):
            self.problem(key, f'"{key}" is a string, not {kind_of(value)}')
            return default or ""
        return value

    def text_of(self, key: str, default: str = "", longest: int = DESCRIPTION_MAX) -> str:
        value = self.string(key, default)
        if len(value) > longest:
            self.problem(key, f'"{key}" has {len(value)} characters; {longest} are allowed')
        elif any(ord(char) < 32 and char != "\n" for char in value):
            self.problem(key, f'"{key}" holds control characters')
        return value

    def line(self, key: str, longest: int = DESCRIPTION_MAX) -> str:
        value = self.text_of(key, "", longest)
        if "\n" in value:
            self.problem(key, f'"{key}" is one line')
        return value

    def named(self, key: str, given: str | None, check: Callable[[str], None]) -> str:
        """A name that must be given, here or as ``given``; ``check`` raises ValueError."""
        value = given if given is not None else self.string(key, None)
        if value:
            try:
                check(value)
            except ValueError as error:
                self.problem(key, str(error))
        elif isinstance(self.table.get(key), str):
            self.problem(key, f'"{key}" is empty')
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str | None) -> str:
        value = self.string(key, default)
        if value in choices:
            return value
        if isinstance(self.table.get(key), str):
            known = ", ".join(f'"{choice}"' for choice in choices)
            text = f'"{shown(value)}" is no {key}: use {known}'
            self.problem(key, text, did_you_mean(value, choices))
        return default or choices[0]

    def matching(self, key: str, default: str, pattern: re.Pattern[str], what: str) -> str:
        value = self.string(key, default)
        if not pattern.fullmatch(value):
            self.problem(key, f'"{shown(value)}" is not {what}')
        return value

    def digest(self, key: str, what: str = "") -> Digest | None:
        """``what``: what it is the digest of."""
        value = self.table.get(key)
        if not isinstance(value, str):
            if value is not None:
                self.problem(key, f"the digest of {what or key} is a string, not {kind_of(value)}")
            return None
        try:
            return reference.parse_digest(value)
        except ValueError as error:
            self.problem(key, str(error))
            return None

    # --- the rest -------------------------------------------------------------------------

    def flag(self, key: str) -> bool:
        value = self.table.get(key, False)
        if not isinstance(value, bool):
            self.problem(key, f'"{key}" is true or false, not {kind_of(value)}')
            return False
        return value

    def strings(self, key: str, most: int = 64) -> tuple[str, ...]:
        value = self.table.get(key, [])
        if not isinstance(value, list):
            self.problem(key, f'"{key}" is a list of strings, not {kind_of(value)}')
            return ()
        if len(value) > most:
            self.problem(key, f'"{key}" has {len(value)} entries; {most} are allowed')
            return ()
        for index, item in enumerate(value):
            if not isinstance(item, str):
                text = f'"{key}" is a list of strings, and this is {kind_of(item)}'
                self.problem(key, text, below=index)
        return tuple(item for item in value if isinstance(item, str))

    # --- what every box says --------------------------------------------------------------

    def cmdline(self) -> str:
        return self.line("cmdline", CMDLINE_MAX)

    def user(self) -> str:
        return self.matching("user", "root", USER, "a user name")

    def seed(self) -> SeedKind:
        return SeedKind(self.choice("seed", tuple(SeedKind), SeedKind.NONE))

    def boot(self) -> BootMode:
        return BootMode(self.choice("boot", tuple(BootMode), BootMode.KERNEL))

    def root(self) -> RootKind:
        return RootKind(self.choice("root", tuple(RootKind), RootKind.RAM))

    def console(self) -> str:
        return self.matching("console", "ttyS0", CONSOLE, 'a serial console like "ttyS0"')

    def cpu_level(self) -> str:
        return self.choice("cpu_level", CPU_LEVELS, CPU_LEVELS[0])


def _not_plain(value: object, depth: int) -> str:
    """What in ``value`` a settings layer cannot hold; empty when all is well."""
    if depth > _NESTING_MAX:
        return "tables nested too deep"
    if isinstance(value, dict):
        return next(filter(None, (_not_plain(item, depth + 1) for item in value.values())), "")
    if isinstance(value, list):
        return next(filter(None, (_not_plain(item, depth + 1) for item in value)), "")
    return "" if isinstance(value, str | int | float | bool) else kind_of(value)


def kind_of(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    names |= {list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")


def shown(text: str) -> str:
    """Some stranger's word for people: short, without what a terminal might obey."""
    short = text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
    return "".join(char if char.isprintable() else "?" for char in short)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(word[:_SHOWN_MAX], list(known), n=1)
    return f'did you mean "{matches[0]}"?' if matches else ""
