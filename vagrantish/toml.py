"""TOML files: bounded, every failure with its line, and the line of every key."""

from __future__ import annotations

import os
import stat
from bisect import bisect_left

import tomli

from vagrantish.errors import ConfigError, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    KeyPath = tuple[str | int, ...]

SIZE_MAX = 1 << 20
_MESSAGE_MAX = 200
# Positions are kept down to this depth, which no setting reaches: a small file may nest a
# thousand levels, and the paths of all its values would fill the memory.
INDEX_DEPTH = 12


class Document:
    """A parsed file. ``name`` is what problems call it: ``Xhyvefile``."""

    __slots__ = ("_line_ends", "_positions", "_text", "name", "table")

    def __init__(self, name: str, text: str, table: dict[str, Any]) -> None:
        self.name = name
        self.table = table
        self._text = text
        self._positions: dict[KeyPath, int] | None = None
        self._line_ends: list[int] | None = None

    def offset(self, path: KeyPath) -> int:
        """Where in the text the key at ``path`` stands, or the nearest thing around it."""
        if self._positions is None:
            self._positions = _Positions(self._text).found
        while path and path not in self._positions:
            path = path[:-1]
        return self._positions.get(path, 0)

    def line(self, path: KeyPath) -> int:
        """The line, from 1, of the key at ``path``; ``("forward", 0)`` is the first ``[[forward]]``."""
        if self._line_ends is None:
            self._line_ends = [at for at, char in enumerate(self._text) if char == "\n"]
        return bisect_left(self._line_ends, self.offset(path)) + 1

    def where(self, path: KeyPath) -> str:
        return f"{self.name}:{self.line(path)}"


def read(path: Path) -> Document:
    """Raises ConfigError: what ``read_text`` raises, and not TOML."""
    return parse(read_text(path), path.name)


def read_text(path: Path) -> str:
    """Raises ConfigError: not there, not a file, unreadable, too big, not UTF-8."""
    name = path.name
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise ConfigError([Problem(name, f"{path} is {kind}")])
        with open(path, "rb") as file:
            raw = file.read(SIZE_MAX + 1)
    except OSError as error:
        problem = Problem(name, f"{path} cannot be read: {error.strerror}")
        raise ConfigError([problem]) from error
    if len(raw) > SIZE_MAX:
        raise ConfigError([Problem(name, f"is bigger than {SIZE_MAX >> 20} MiB: no settings are")])
    raw = raw.removeprefix(b"\xef\xbb\xbf")  # Windows editors mark UTF-8 so
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = Problem(f"{name}:{line}", "is not UTF-8 text", "save the file as UTF-8")
        raise ConfigError([problem]) from error


def parse(text: str, name: str) -> Document:
    """Raises ConfigError with ``name:LINE`` of the first thing that is not TOML."""
    text = text.replace("\r\n", "\n")  # as tomli does, so that its positions and ours agree
    try:
        return Document(name, text, tomli.loads(text))
    except tomli.TOMLDecodeError as error:
        line = text.count("\n", 0, error.pos) + 1
        problem = Problem(f"{name}:{line}", *_explained(error, text.split("\n")[line - 1]))
        raise ConfigError([problem]) from error
    except RecursionError as error:
        raise ConfigError([Problem(name, "is nested too deep to be settings")]) from error
    except ValueError as error:  # a number with thousands of digits
        raise ConfigError([Problem(name, str(error)[:_MESSAGE_MAX])]) from error


def parse_key(text: str) -> tuple[str, ...]:
    """``machines."a.b".cpus`` → its parts. Raises ValueError."""
    if "\n" in text or "=" in text or not text.strip():
        raise ValueError(f"not a key: {text[:_MESSAGE_MAX]!r}")
    try:
        node = tomli.loads(f"{text}=0")
    except RecursionError as error:
        raise ValueError("the key has too many parts") from error
    parts: list[str] = []
    while isinstance(node, dict):
        ((part, node),) = node.items()
        parts.append(part)
    return tuple(parts)


def parse_value(text: str) -> Any:
    """One TOML value. Raises ValueError."""
    try:
        table = tomli.loads(f"value={text}")
    except RecursionError as error:
        raise ValueError("the value is nested too deep") from error
    if len(table) != 1:
        raise ValueError("more than one value")
    return table["value"]


def _explained(error: tomli.TOMLDecodeError, line: str) -> tuple[str, str]:
    message = error.msg[:_MESSAGE_MAX]
    if message == "Cannot overwrite a value":
        return "is not TOML: what this line sets was set before", ""
    hint = ""
    if message.startswith(("Invalid value", "Expected newline")) and "=" in line:
        hint = 'text goes in quotes: key = "text"'
    return f"is not TOML: {message[:1].lower()}{message[1:]}", hint


class _Positions:
    """Where each key and list element stands, by key path, in text tomli has accepted."""

    def __init__(self, text: str) -> None:
        import re

        self.found: dict[KeyPath, int] = {}
        self._text = text
        self._blank = re.compile(r"[ \t\n]*")
        self._spaces = re.compile(r"[ \t]*")
        self._bare = re.compile(r"[A-Za-z0-9_-]+")
        self._scalar = re.compile(r"[^,\]}#\n]*")
        self._quote_end = {'"': re.compile(r'\\.|"'), '"""': re.compile(r'\\.|"""', re.DOTALL)}
        self._lengths: dict[KeyPath, int] = {}  # of the lists made by [[…]] so far
        header: KeyPath = ()
        position = self._next(0)
        while position < len(text):
            if text[position] == "[":
                header, position = self._header(position)
            else:
                path, position = self._key(position, header)
                position = self._value(position, path)
            position = self._next(position)

    def _after(self, pattern: Any, position: int) -> int:
        return int(pattern.match(self._text, position).end())

    def _next(self, position: int) -> int:
        """Past white space, ends of lines and comments."""
        position = self._after(self._blank, position)
        while self._text.startswith("#", position):
            end = self._text.find("\n", position)
            position = len(self._text) if end < 0 else self._after(self._blank, end)
        return position

    def _note(self, path: KeyPath, position: int) -> None:
        if len(path) <= INDEX_DEPTH:
            self.found.setdefault(path, position)

    def _header(self, position: int) -> tuple[KeyPath, int]:
        brackets = 2 if self._text.startswith("[[", position) else 1
        parts, end = self._parts(position + brackets)
        path: KeyPath = ()
        for count, (part, start) in enumerate(parts, start=1):
            path += (part,)
            self._note(path, start)
            if count == len(parts) and brackets == 2:
                self._lengths[path] = self._lengths.get(path, 0) + 1
            if path in self._lengths:
                path += (self._lengths[path] - 1,)
                self._note(path, start)
        return path, end + brackets

    def _key(self, position: int, base: KeyPath) -> tuple[KeyPath, int]:
        """The path of a ``key =`` and where its value begins."""
        parts, end = self._parts(position)
        path = base
        for part, start in parts:
            path += (part,)
            self._note(path, start)
        return path, self._after(self._spaces, end + 1)

    def _parts(self, position: int) -> tuple[list[tuple[str, int]], int]:
        parts: list[tuple[str, int]] = []
        while True:
            start = self._after(self._spaces, position)
            quote = self._text[start]
            end = self._quoted(start) if quote in "\"'" else self._after(self._bare, start)
            part = self._text[start:end]
            if quote == "'":
                part = part[1:-1]
            elif quote == '"':
                (part,) = tomli.loads(f"{part}=0")
            parts.append((part, start))
            position = self._after(self._spaces, end)
            if self._text[position] != ".":
                return parts, position
            position += 1

    def _value(self, position: int, path: KeyPath) -> int:
        """Where the value ends. A loop, since lists may nest deeper than Python calls do."""
        text = self._text
        opened: list[tuple[KeyPath, list[int]]] = []  # lists count their elements, tables do not
        while True:
            if text[position] in "[{":
                opened.append((path, [0] if text[position] == "[" else []))
                position += 1
            elif text[position] in "\"'":
                position = self._quoted(position)
            else:
                position = self._after(self._scalar, position)
            while opened:
                position = self._next(position)
                if text[position] in "]}":
                    opened.pop()
                elif text[position] != ",":
                    break
                position += 1
            if not opened:
                return position
            base, counter = opened[-1]
            if counter:
                path = (*base, counter[0])
                self._note(path, position)
                counter[0] += 1
            else:
                path, position = self._key(position, base)

    def _quoted(self, position: int) -> int:
        """Where the string that begins here ends."""
        text = self._text
        quote = text[position]
        triple = text.startswith(quote * 3, position)
        closing = quote * 3 if triple else quote
        position += len(closing)
        if quote == "'":
            position = text.index(closing, position) + len(closing)
        else:
            match = self._quote_end[closing].search(text, position)
            while match and match[0] != closing:
                match = self._quote_end[closing].search(text, match.end())
            assert match is not None  # tomli found the end too
            position = match.end()
        if triple:  # up to two more quotes belong to the text
            for _ in range(2):
                position += text.startswith(quote, position)
        return position
