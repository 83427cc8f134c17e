"""box.toml: what a box says of itself, checked in one go. docs/boxes.md describes every key."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vagrantish.box import reference
from vagrantish.errors import BoxError, ConfigError, Problem
from vagrantish.model import ArtifactKind, Digest, RootKind, SeedKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from vagrantish.toml import Document

FILE_NAME = "box.toml"
SIZE_MAX = 64 << 10
ARCHES = ("x86_64", "aarch64")
CPU_LEVELS = ("x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4")
CMDLINE_MAX = 2046  # what every x86 boot loader can hand over

_KEYS = (
    "name", "version", "arch", "description", "kernel", "initrd", "disk", "digest",
    "cmdline", "user", "seed", "root", "console", "cpu_level", "defaults",
)  # fmt: skip
_PLAIN_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_CONSOLE = re.compile(r"(tty[A-Z]{1,4}|hvc)[0-9]{1,2}")
_NESTING_MAX = 8


@dataclass(frozen=True, kw_only=True)
class Definition:
    name: str
    version: str
    arch: str
    description: str
    files: Mapping[ArtifactKind, str]  # plain names beside box.toml
    digests: Mapping[ArtifactKind, Digest]
    cmdline: str
    user: str
    seed: SeedKind
    root: RootKind
    console: str
    cpu_level: str
    defaults: Mapping[str, Any]


def parse(
    text: str, *, source: str, name: str | None = None, version: str | None = None
) -> Definition:
    """The definition in ``text``; ``name`` and ``version`` replace its own.

    ``source`` names where it came from. Raises BoxError that lists every problem.
    """
    from vagrantish import toml

    try:
        reader = _Reader(toml.parse(text, FILE_NAME))
    except ConfigError as error:
        raise _unusable(source, error.problems) from error
    definition = reader.definition(name, version)
    if definition is None:
        raise _unusable(source, reader.problems)
    return definition


def _unusable(source: str, problems: Iterable[Problem]) -> BoxError:
    lines = "\n".join(f"  {problem}" for problem in sorted(problems, key=_line_of))
    return BoxError(
        f"{FILE_NAME} of {source} cannot be used:\n{lines}",
        hint="docs/boxes.md describes every key.",
    )


def _line_of(problem: Problem) -> int:
    line = problem.where.partition(":")[2]
    return int(line) if line.isdecimal() else 0


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._table = document.table
        self.problems: list[Problem] = []

    def definition(self, name: str | None, version: str | None) -> Definition | None:
        """None when there are problems."""
        for key in self._table:
            if key not in _KEYS:
                self._problem(key, f'unknown key "{key}"', _did_you_mean(key, _KEYS))
        files = self._files()
        found = Definition(
            name=self._named("name", name, reference.check_name),
            version=self._named("version", version, reference.check_version),
            arch=self._choice("arch", ARCHES, None),
            description=self._text_of("description", "", 1000),
            files=files,
            digests=self._digests(files),
            cmdline=self._cmdline(),
            user=self._matching("user", "root", _USER, "a user name"),
            seed=SeedKind(self._seed()),
            root=RootKind(self._choice("root", tuple(RootKind), RootKind.RAM)),
            console=self._matching("console", "ttyS0", _CONSOLE, 'a serial console like "ttyS0"'),
            cpu_level=self._choice("cpu_level", CPU_LEVELS, CPU_LEVELS[0]),
            defaults=self._defaults(),
        )
        if found.seed is SeedKind.OVERLAY and ArtifactKind.INITRD not in files:
            self._problem("seed", 'seed = "overlay" needs an initrd to add to')
        if found.root is RootKind.DISK and ArtifactKind.DISK not in files:
            self._problem("root", 'root = "disk" needs a disk')
        return None if self.problems else found

    def _problem(self, key: str, message: str, hint: str = "", *, below: str = "") -> None:
        path = (key, below) if below else (key,)
        where = FILE_NAME if path[0] not in self._table else self._document.where(path)
        self.problems.append(Problem(where, message, hint))

    def _string(self, key: str, default: str | None) -> str:
        value = self._table.get(key, default)
        if value is None:
            self._problem(key, f'"{key}" is missing')
            return ""
        if not isinstance(value, str):
            self._problem(key, f'"{key}" is a string, not {_kind(value)}')
            return default or ""
        return value

    def _text_of(self, key: str, default: str, longest: int) -> str:
        value = self._string(key, default)
        if len(value) > longest:
            self._problem(key, f'"{key}" has {len(value)} characters; {longest} are allowed')
        elif any(ord(char) < 32 and char != "\n" for char in value):
            self._problem(key, f'"{key}" holds control characters')
        return value

    def _named(self, key: str, given: str | None, check: Callable[[str], None]) -> str:
        value = given if given is not None else self._string(key, None)
        if value:
            try:
                check(value)
            except ValueError as error:
                self._problem(key, str(error))
        elif key in self._table and isinstance(self._table[key], str):
            self._problem(key, f'"{key}" is empty')
        return value

    def _choice(self, key: str, choices: tuple[str, ...], default: str | None) -> str:
        value = self._string(key, default)
        if value in choices:
            return value
        if key in self._table and isinstance(self._table[key], str):
            known = ", ".join(f'"{choice}"' for choice in choices)
            self._problem(key, f'"{value}" is no {key}: use {known}', _did_you_mean(value, choices))
        return default or choices[0]

    def _matching(self, key: str, default: str, pattern: re.Pattern[str], what: str) -> str:
        value = self._string(key, default)
        if not pattern.fullmatch(value):
            self._problem(key, f'"{value[:80]}" is not {what}')
        return value

    def _seed(self) -> str:
        if self._table.get("seed") == "cloud-init":
            self._problem("seed", 'seed = "cloud-init" is not built yet', 'use "overlay" or "none"')
            return SeedKind.NONE
        return self._choice("seed", tuple(SeedKind), SeedKind.NONE)

    def _cmdline(self) -> str:
        value = self._text_of("cmdline", "", CMDLINE_MAX)
        if "\n" in value:
            self._problem("cmdline", '"cmdline" is one line')
        return value

    def _files(self) -> dict[ArtifactKind, str]:
        files: dict[ArtifactKind, str] = {}
        for kind in ArtifactKind:
            if kind not in self._table and kind is not ArtifactKind.KERNEL:
                continue
            value = self._string(kind, None)
            if not isinstance(self._table.get(kind), str):
                continue
            if not value:
                self._problem(kind, f'"{kind}" is empty')
            elif not _PLAIN_FILE.fullmatch(value):
                self._problem(kind, f'"{value[:80]}" is not the plain name of a file beside it')
            elif value in files.values():
                self._problem(kind, f'"{value}" is named twice')
            files[kind] = value
        return files

    def _digests(self, files: Mapping[ArtifactKind, str]) -> dict[ArtifactKind, Digest]:
        table = self._table.get("digest", {})
        digests: dict[ArtifactKind, Digest] = {}
        if not isinstance(table, dict):
            self._problem("digest", f'"digest" is a table, not {_kind(table)}')
            return digests
        for key, value in table.items():
            if key not in tuple(ArtifactKind) or ArtifactKind(key) not in files:
                hint = _did_you_mean(key, files)
                self._problem("digest", f'the box has no "{key}"', hint, below=key)
            elif not isinstance(value, str):
                text = f"the digest of {key} is a string, not {_kind(value)}"
                self._problem("digest", text, below=key)
            else:
                try:
                    digests[ArtifactKind(key)] = reference.parse_digest(value)
                except ValueError as error:
                    self._problem("digest", str(error), below=key)
        return digests

    def _defaults(self) -> dict[str, Any]:
        table = self._table.get("defaults", {})
        if not isinstance(table, dict):
            self._problem("defaults", f'"defaults" is a table, not {_kind(table)}')
            return {}
        bad = _not_plain(table, 0)
        if bad:
            self._problem("defaults", f'"defaults" holds {bad}')
            return {}
        return table


def _not_plain(value: object, depth: int) -> str:
    """What in ``value`` a settings layer cannot hold; empty when all is well."""
    if depth > _NESTING_MAX:
        return "tables nested too deep"
    if isinstance(value, dict):
        return next(filter(None, (_not_plain(item, depth + 1) for item in value.values())), "")
    if isinstance(value, list):
        return next(filter(None, (_not_plain(item, depth + 1) for item in value)), "")
    return "" if isinstance(value, str | int | float | bool) else _kind(value)


def _kind(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    names |= {list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(word, list(known), n=1)
    return f'did you mean "{matches[0]}"?' if matches else ""
