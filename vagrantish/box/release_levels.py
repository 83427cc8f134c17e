"""The levels of a definition: the whole, a release, a build, an architecture; each checked alone.

A level overrides what stands around it, table by table and key by key.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vagrantish.box import reference, release_words
from vagrantish.box.fields import ARCHES, Fields, did_you_mean, kind_of, shown
from vagrantish.box.release_words import TemplateError
from vagrantish.model import ArtifactKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PARTS = tuple(str(kind) for kind in ArtifactKind)
_COMMON = (
    "user", "seed", "root", "console", "cmdline", "cpu_level", "disk_boots", "boot", "defaults",
    "words",
    "extensions", "file", *PARTS,
)  # fmt: skip
TOP = ("name", "description", "default", "obtain", "release", *ARCHES, *_COMMON)
LINE = ("aliases", "eol", "build", *ARCHES, *_COMMON)
BUILD = (*ARCHES, *_COMMON)
ARCH = _COMMON
ARCH_OF_BUILD = ("digest", "size", *_COMMON)

SIZE_MAX = 1 << 40
_LINES_MAX, _BUILDS_MAX, _NAMES_MAX = 200, 500, 64
_URL = re.compile(r"https?://[!-~]{1,2000}")
_LINK = re.compile(r"[!-~]{1,2000}")
_MEMBER = re.compile(r"[A-Za-z0-9_{][A-Za-z0-9._+{}/-]{0,254}")
_FILE_NAME = re.compile(r"[A-Za-z0-9_{][A-Za-z0-9._+{}-]{0,127}")
_EXTENSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")
_EOL = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?")
SIGNED = ("sums", "file")


class Levels:
    """Walks all levels of a definition, and tells what is wrong with each."""

    def __init__(self, top: Fields) -> None:
        self._top = top
        self._words = {*release_words.BUILT_IN, *_words_of(top.table)}

    def check(self) -> None:
        self._level(self._top, TOP, ARCH)
        for line in tables_of(self._top, "release", _LINES_MAX):
            self._level(line, LINE, ARCH)
            self._line(line)
            for build in tables_of(line, "build", _BUILDS_MAX):
                self._level(build, BUILD, ARCH_OF_BUILD)
                self._build(line, build)

    def _line(self, line: Fields) -> None:
        name = str(line.path[-1])
        _check_version(line, "release", name)
        for index, alias in enumerate(line.strings("aliases")):
            try:
                reference.check_version(alias)
            except ValueError as error:
                line.problem("aliases", str(error), below=index)
        if "eol" in line:
            line.matching("eol", "", _EOL, 'a day, month or year, as "2029-05"')

    def _build(self, line: Fields, build: Fields) -> None:
        _check_version(build, "build", f"{line.path[-1]}.{build.path[-1]}")
        if not any(arch in build for arch in ARCHES):
            known = " or ".join(ARCHES)
            build.problem("", f"this build is for no architecture: give it {known}")

    def _level(self, level: Fields, keys: Iterable[str], arch_keys: Iterable[str]) -> None:
        level.refuse_others(keys)
        self._common(level)
        for arch in ARCHES:
            if arch not in level:
                continue
            if "digest" in arch_keys and isinstance(level.table[arch], str):
                level.digest(arch)  # short for { digest = … }
            elif below := level.below(arch):
                below.refuse_others(arch_keys)
                self._common(below)
                if "digest" in arch_keys:
                    self._promise(below)

    def _common(self, level: Fields) -> None:
        level.user()
        level.seed()
        level.root()
        level.console()
        level.cpu_level()
        level.flag("disk_boots")
        level.boot()
        level.defaults()
        self._template(level, "cmdline", level.cmdline())
        self._own_words(level)
        pinned = "build" in level.path
        for kind in ("file", *PARTS):
            if part := level.below(kind):
                self._part(part, pinned=pinned)
        if extensions := level.below("extensions"):
            self._extensions(extensions)

    def _own_words(self, level: Fields) -> None:
        table = level.below("words")
        for name in table.table if table else ():
            assert table is not None
            if name in release_words.BUILT_IN and name not in release_words.OWN:
                table.problem(name, f'"{name}" is what vx says itself: take another word')
            elif not release_words.NAME.fullmatch(name):
                table.problem(name, f'"{shown(name)}" is no name: a-z, 0-9 and "_"')
            else:
                wants = "letters, digits and . _ + -, as a part of a file name has"
                table.matching(name, "", release_words.VALUE, wants)

    # --- files ----------------------------------------------------------------------------

    def _part(self, part: Fields, *, pinned: bool) -> None:
        promise = ("digest", "size") if pinned else ()
        part.refuse_others(("url", "mirrors", "member", "check", *promise))
        self._places(part)
        self._path(part, "member", _MEMBER, "a path inside an archive")
        if ".." in part.string("member", "").split("/"):
            part.problem("member", '"member" climbs out of the archive')
        if pinned:
            self._promise(part)
        if check := part.below("check"):
            self._check(check)

    def _places(self, fields: Fields) -> None:
        wants = 'an address beginning with "https://" or "http://"'
        if "url" in fields:
            self._template(fields, "url", fields.matching("url", "", _URL, wants))
        for index, mirror in enumerate(fields.strings("mirrors")):
            if not _URL.fullmatch(mirror):
                fields.problem("mirrors", f'"{shown(mirror)}" is not {wants}', below=index)
            self._template(fields, "mirrors", mirror, below=index)

    def _promise(self, fields: Fields) -> None:
        fields.digest("digest")
        size = fields.table.get("size")
        if size is None:
            return
        if type(size) is not int or not 0 < size <= SIZE_MAX:
            told = size if type(size) is int and abs(size) < 1 << 64 else kind_of(size)
            fields.problem("size", f'"size" is a number of bytes, not {told}')

    def _check(self, check: Fields) -> None:
        check.refuse_others(("sums", "name", "signature", "signed", "keys"))
        for key in ("sums", "signature"):
            self._path(check, key, _LINK, "an address, whole or beside the file")
        self._path(check, "name", _FILE_NAME, "the name of a file")
        if "signed" in check:
            check.choice("signed", SIGNED, None)
        for index, fingerprint in enumerate(check.strings("keys")):
            if not _FINGERPRINT.fullmatch(fingerprint):
                told = (
                    f'"{shown(fingerprint)}" is no fingerprint: it has 40 or 64 hexadecimal digits'
                )
                check.problem("keys", told, below=index)

    def _extensions(self, extensions: Fields) -> None:
        extensions.refuse_others(("url", "mirrors", "names", "digests"))
        self._places(extensions)
        names = extensions.strings("names", _NAMES_MAX)
        for index, name in enumerate(names):
            if not _EXTENSION.fullmatch(name) or name in names[:index]:
                told = "there twice" if name in names[:index] else "not the name of a file"
                extensions.problem("names", f'"{shown(name)}" is {told}', below=index)
        digests = extensions.below("digests")
        for name in digests.table if digests else ():
            assert digests is not None
            digests.digest(name, f'"{shown(name)}"')

    # --- texts ----------------------------------------------------------------------------

    def _path(self, fields: Fields, key: str, pattern: re.Pattern[str], what: str) -> None:
        if key in fields:
            self._template(fields, key, fields.matching(key, "", pattern, what))

    def _template(self, fields: Fields, key: str, text: str, *, below: str | int = "") -> None:
        try:
            names = release_words.names_in(text)
        except TemplateError as error:
            fields.problem(key, f'"{key}" {error}', below=below)
            return
        for name in names:
            if name not in self._words:
                told = f'"{key}" names "{{{name}}}", which is no word of this file'
                fields.problem(key, told, did_you_mean(name, self._words), below=below)


def tables_of(fields: Fields, key: str, most: int = _BUILDS_MAX) -> list[Fields]:
    """The tables in the table at ``key``; what is no table is told."""
    outer = fields.below(key)
    if outer is None:
        return []
    if len(outer.table) > most:
        fields.problem(key, f'"{key}" has {len(outer.table)} entries; {most} are allowed')
        return []
    return [inner for name in outer.table if (inner := outer.below(name)) is not None]


def merged(*levels: dict[str, Any]) -> dict[str, Any]:
    """The levels, weakest first, as one: tables are merged, all else is replaced."""
    result: dict[str, Any] = {}
    for level in levels:
        for key, value in level.items():
            there = result.get(key)
            if isinstance(there, dict) and isinstance(value, dict):
                value = merged(there, value)
            result[key] = value
    return result


def _words_of(table: dict[str, Any], depth: int = 0) -> Iterable[str]:
    """Every word that any level gives a value."""
    own = table.get("words")
    if isinstance(own, dict):
        yield from own
    if depth < 6:  # release, its name, build, its name, architecture
        for key, value in table.items():
            if isinstance(value, dict) and key not in ("words", "defaults"):
                yield from _words_of(value, depth + 1)


def _check_version(fields: Fields, what: str, version: str) -> None:
    check: Callable[[str], None] = reference.check_version
    try:
        check(version)
    except ValueError as error:
        fields.problem("", f"the name of this {what} gives no version: {error}")
