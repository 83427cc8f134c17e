"""The menu in a grub.cfg of grub 2.

It is a script; what is read of it are menu entries, the lines in them that name a kernel, and the
values it gives to a few variables. Conditions are not evaluated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from vagrantish.formats import bls
from vagrantish.formats.bls import BootEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_DEPTH_MAX = 16
_LINE_MAX = 16 << 10  # characters
_LINUX, _INITRD = ("linux", "linux16", "linuxefi"), ("initrd", "initrd16", "initrdefi")
_OPTIONS_VARIABLES = ("kernelopts", "default_kernelopts")
_WORD = re.compile(r"""(?:[^\s'"\\]++|\\.|'[^']*+'|"(?:[^"\\]|\\.)*+")+""")
_QUOTED = re.compile(r"""\\(.)|'([^']*+)'|"((?:[^"\\]|\\.)*+)\"""")
_SET = re.compile(r"\s*set\s+(\w+)=(.*)")


@dataclass(frozen=True, kw_only=True)
class GrubMenu:
    entries: tuple[BootEntry, ...]
    variables: Mapping[str, str]
    defaults: tuple[str, ...]  # every value it gives to ``default``, in order
    reads_entries: bool  # it shows the files in loader/entries


@dataclass
class _Block:
    """A pair of braces that is open: a submenu, an entry, or anything else without a name."""

    kind: str
    names: frozenset[str] = frozenset()
    place: int = 0
    title: str = ""
    name: str = ""
    children: int = 0
    kernels: list[tuple[list[str], list[str]]] = field(default_factory=list)


def parse(text: str) -> GrubMenu:
    reader = _Reader()
    for line in text.splitlines():
        reader.take(line)
    return GrubMenu(
        entries=tuple(reader.entries),
        variables=reader.variables,
        defaults=tuple(reader.defaults),
        reads_entries=reader.reads_entries,
    )


class _Reader:
    """What the lines so far said."""

    def __init__(self) -> None:
        self.entries: list[BootEntry] = []
        self.variables: dict[str, str] = {}
        self.defaults: list[str] = []
        self.reads_entries = False
        self._open = [_Block(kind="menu")]

    def take(self, line: str) -> None:
        if match := _SET.fullmatch(line):
            self._set(match[1], _unquoted(match[2]))
            return
        words = _words(line)
        if not words:
            return
        if words[0] in ("menuentry", "submenu", "function") and words[-1] == "{":
            if len(self._open) < _DEPTH_MAX:
                self._open.append(_opened(words, self._open[-1]))
        elif words[0] == "}" and len(self._open) > 1:
            self._close()
        elif words[0] == "blscfg":
            self.reads_entries = True
        elif len(words) > 1:
            self._kernel(words)

    def _set(self, name: str, value: str) -> None:
        if name == "default":
            self.defaults.append(value)
        elif value:
            self.variables[name] = value

    def _kernel(self, words: Sequence[str]) -> None:
        block = self._open[-1]
        if words[0] in _LINUX:
            block.kernels.append((list(words[1:]), []))
        elif words[0] in _INITRD and block.kernels:
            block.kernels[-1][1].extend(words[1:])

    def _close(self) -> None:
        block = self._open[-1]
        if block.kind == "menuentry" and block.kernels and len(self.entries) < bls.ENTRIES_MAX:
            self.entries.append(_entry(block, self._open, self.variables))
        self._open.pop()


def default_of(
    menu: Sequence[BootEntry], defaults: Sequence[str], environment: Mapping[str, str]
) -> tuple[BootEntry, str] | None:
    """What grub boots of itself, and how that is known; None when it does not say.

    An entry is named by its position, its title or its id, and one in a submenu by a chain of
    these. Where a menu is named, its first entry boots.
    """
    for default in _settled(defaults, environment):
        value, source = default
        words = value.removesuffix(".conf").split(">")
        for entry in menu:
            if entry.is_rescue:
                continue
            if value.removesuffix(".conf") in (entry.name, entry.title) or _leads(words, entry):
                return entry, source
    return None


def _settled(defaults: Sequence[str], environment: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """The values that can hold on an ordinary boot, the last one first."""
    for default in reversed(defaults):
        if "next_entry" in default:
            continue
        if "saved_entry" in default:
            if saved := environment.get("saved_entry"):
                yield saved, "saved_entry of grubenv"
        elif default and "$" not in default:
            yield default, "the default of grub.cfg"


def _leads(words: Sequence[str], entry: BootEntry) -> bool:
    if len(words) > len(entry.place):
        return False
    levels = zip(words, entry.place, entry.path, strict=False)
    named = all(word == str(place) or word in names for word, place, names in levels)
    return named and not any(entry.place[len(words) :])


def _opened(words: Sequence[str], parent: _Block) -> _Block:
    if words[0] == "function":
        return _Block(kind="function")
    title = words[1] if len(words) > 2 else ""
    name = ""
    for option, value in pairwise(words):
        if option in ("--id", "$menuentry_id_option"):
            name = value
    parent.children += 1
    return _Block(
        kind=words[0],
        title=title,
        name=name,
        names=frozenset({title, name} - {""}),
        place=parent.children - 1,
    )


def _entry(block: _Block, around: Sequence[_Block], variables: Mapping[str, str]) -> BootEntry:
    """Of several kernels in one entry that with an initrd: the others are for trying."""
    words, initrds = next((kernel for kernel in block.kernels if kernel[1]), block.kernels[0])
    menus = [part for part in around if part.kind in ("submenu", "menuentry")]
    linux = bls.expand(words[0], variables)
    options = (_option(word, variables) for word in words[1:])
    return BootEntry(
        name=block.name,
        title=block.title,
        version=bls.release_of(linux),
        linux=linux,
        initrds=tuple(bls.expand(word, variables) for word in initrds if word[:1] != "$"),
        options=" ".join(option for option in options if option),
        place=tuple(part.place for part in menus),
        path=tuple(part.names for part in menus),
    )


def _option(word: str, variables: Mapping[str, str]) -> str:
    """Variables that stand alone are for the screen, but for those that hold options."""
    if word.startswith("$") and word.strip("${}") not in _OPTIONS_VARIABLES:
        return ""
    if "$" in word:
        return bls.expand(word, variables)
    return _quoted(word)


def _words(line: str) -> list[str]:
    line = line.strip()
    if not line or line.startswith("#") or len(line) > _LINE_MAX:
        return []
    return [_QUOTED.sub(_bared, word) for word in _WORD.findall(line)]


def _bared(match: re.Match[str]) -> str:
    """What is left of a quotation; one that goes on in the next line is not followed there."""
    escaped, single, double = match.groups()
    if double is not None:
        return re.sub(r'\\(["\\$`])', r"\1", double)
    return str(single if escaped is None else escaped)


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return value[:_LINE_MAX]


def _quoted(word: str) -> str:
    """As the kernel takes it: blanks inside double quotes."""
    if not any(blank.isspace() for blank in word):
        return word
    name, equals, value = word.partition("=")
    return f'{name}="{value}"' if equals and '"' not in word else word
