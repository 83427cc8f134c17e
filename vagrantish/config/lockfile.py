"""Xhyvefile.lock: its text, the same for the same content, one thing a line. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from vagrantish import toml
from vagrantish.errors import ConfigError, Problem
from vagrantish.model import (
    BootMode,
    Digest,
    Lock,
    LockedBoot,
    LockedBox,
    LockedFile,
    LockedScript,
    RootKind,
    SeedKind,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vagrantish.toml import Document, KeyPath

E = TypeVar("E", bound=StrEnum)

SCHEMA = 1
_HEADER = """\
# What this project boots, to the byte. vx writes it; commit it.
# `vx lock --update` moves it on, `vx up --locked` insists on it.
"""
_DIGEST = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")
_ENTRIES_MAX = 2000


def encode(lock: Lock) -> str:
    """Sorted, so that two people who add boxes get lines that merge."""
    lines = [f"{_HEADER}schema = {SCHEMA}"]
    for box in sorted(lock.boxes, key=lambda box: (box.name, box.asked, box.arch)):
        lines.append("\n[[box]]")
        lines += _fields(name=box.name, asked=box.asked, arch=box.arch, version=box.version)
        if box.boots is not None:
            lines += ["[box.boots]", *_fields(**_boots(box.boots))]
        for file in box.files:
            lines.append("[[box.file]]")
            lines += _fields(
                part=file.part,
                url=file.url or None,
                member=file.member or None,
                size=file.size_bytes,
                digest=str(file.digest),
            )
    for script in sorted(lock.scripts, key=lambda script: script.url):
        lines.append("\n[[script]]")
        lines += _fields(url=script.url, digest=str(script.digest))
    return "\n".join(lines) + "\n"


def _boots(boots: LockedBoot) -> dict[str, Any]:
    """A key that an older vx does not know only where it could not boot the box anyway."""
    table = asdict(boots)
    return {**table, "boot": None} if boots.boot is BootMode.KERNEL else table


def _fields(**values: str | int | bool | None) -> Iterator[str]:
    for key, value in values.items():
        if value is not None:
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"


def parse(text: str, name: str) -> Lock:
    """The lock in ``text``; ``name`` is what problems call the file. Raises ConfigError."""
    hint = f"Take {name} from your version control again, or delete it and run `vx lock`."
    try:
        reader = _Reader(toml.parse(text, name))
    except ConfigError as error:
        if any(line.startswith(("<<<<<<<", ">>>>>>>")) for line in text.splitlines()):
            hint = "A merge left both sides in it: keep what either side has, then run `vx lock`."
        raise ConfigError(error.problems, hint=hint) from error
    lock = reader.lock()
    if reader.problems:
        raise ConfigError(reader.problems[:20], hint=hint)
    return lock


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self.problems: list[Problem] = []

    def lock(self) -> Lock:
        table = self._document.table
        if table.get("schema") != SCHEMA:
            found = table.get("schema")
            newer = isinstance(found, int) and found > SCHEMA
            told = "it was written by a newer vx" if newer else "it is no lock of vx"
            self._wrong(("schema",), told)
            return Lock()
        self._only(table, (), "schema", "box", "script")
        boxes = [self._box(entry, ("box", at)) for at, entry in self._tables(table, (), "box")]
        self._once("box", [(box.name, box.asked, box.arch) for box in boxes])
        scripts = [
            self._script(entry, ("script", at)) for at, entry in self._tables(table, (), "script")
        ]
        self._once("script", [script.url for script in scripts])
        return Lock(boxes=tuple(boxes), scripts=tuple(scripts))

    def _script(self, entry: dict[str, Any], at: KeyPath) -> LockedScript:
        self._only(entry, at, "url", "digest")
        return LockedScript(url=self._text(entry, at, "url"), digest=self._digest(entry, at))

    def _once(self, kind: str, keys: Sequence[object]) -> None:
        """Two sides of a merge may both have been kept."""
        first: dict[object, int] = {}
        for at, key in enumerate(keys):
            if first.setdefault(key, at) != at:
                self._wrong((kind, at), f"this {kind} is in it twice")

    def _box(self, entry: dict[str, Any], at: KeyPath) -> LockedBox:
        self._only(entry, at, "name", "asked", "arch", "version", "boots", "file")
        return LockedBox(
            name=self._word(entry, at, "name"),
            asked=self._word(entry, at, "asked") if entry.get("asked") else "",
            arch=self._word(entry, at, "arch"),
            version=self._word(entry, at, "version"),
            boots=self._boots(entry["boots"], (*at, "boots")) if "boots" in entry else None,
            files=tuple(
                self._file(file, (*at, "file", number))
                for number, file in self._tables(entry, at, "file")
            ),
        )

    def _boots(self, entry: Any, at: KeyPath) -> LockedBoot | None:
        if not isinstance(entry, dict):
            self._wrong(at, "`boots` is a table")
            return None
        self._only(entry, at, *(field.name for field in fields(LockedBoot)))
        cmdline = entry.get("cmdline")
        if not isinstance(cmdline, str) or not cmdline.isprintable() or len(cmdline) > 4096:
            self._wrong((*at, "cmdline"), "`cmdline` is missing or no text on one line")
        if not isinstance(entry.get("disk_boots"), bool):
            self._wrong((*at, "disk_boots"), "`disk_boots` is true or false")
        return LockedBoot(
            user=self._word(entry, at, "user"),
            seed=self._choice(entry, at, "seed", SeedKind),
            root=self._choice(entry, at, "root", RootKind),
            cmdline=str(cmdline),
            console=self._word(entry, at, "console"),
            cpu_level=self._word(entry, at, "cpu_level"),
            disk_boots=entry.get("disk_boots") is True,
            boot=self._choice(entry, at, "boot", BootMode) if "boot" in entry else BootMode.KERNEL,
        )

    def _choice(self, entry: dict[str, Any], at: KeyPath, key: str, kind: type[E]) -> E:
        value = entry.get(key)
        for member in kind:
            if value == member.value:
                return member
        self._wrong((*at, key), f"`{key}` is one of {', '.join(kind)}")
        return next(iter(kind))

    def _file(self, entry: dict[str, Any], at: KeyPath) -> LockedFile:
        self._only(entry, at, "part", "url", "member", "size", "digest")
        url = self._text(entry, at, "url") if "url" in entry else ""
        if url and not url.startswith(("https://", "http://")):
            self._wrong((*at, "url"), "`url` begins with neither https:// nor http://")
        return LockedFile(
            part=self._word(entry, at, "part"),
            url=url,
            member=self._text(entry, at, "member") if "member" in entry else "",
            size_bytes=self._size(entry, at),
            digest=self._digest(entry, at),
        )

    # --- single values ------------------------------------------------------------------------

    def _wrong(self, at: KeyPath, message: str) -> None:
        self.problems.append(Problem(self._document.where(at), message))

    def _only(self, entry: dict[str, Any], at: KeyPath, *known: str) -> None:
        for key in entry:
            if key not in known:
                self._wrong((*at, key), f"`{key[:60]}` has no place here")

    def _tables(
        self, entry: dict[str, Any], at: KeyPath, key: str
    ) -> Sequence[tuple[int, dict[str, Any]]]:
        found = entry.get(key, [])
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            self._wrong((*at, key), f"`{key}` is written [[{key}]]")
            return ()
        if len(found) > _ENTRIES_MAX:
            self._wrong((*at, key), f"`{key}` has more than {_ENTRIES_MAX} entries")
            return ()
        return tuple(enumerate(found))

    def _text(self, entry: dict[str, Any], at: KeyPath, key: str) -> str:
        value = entry.get(key)
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 4096:
            self._wrong((*at, key), f"`{key}` is missing or no text on one line")
            return "x"
        return value

    def _word(self, entry: dict[str, Any], at: KeyPath, key: str) -> str:
        value = self._text(entry, at, key)
        if not _NAME.fullmatch(value):
            self._wrong((*at, key), f"`{key}` is no name: {value[:60]!r}")
        return value

    def _size(self, entry: dict[str, Any], at: KeyPath) -> int | None:
        value = entry.get("size")
        if value is not None and (type(value) is not int or not 0 <= value < 1 << 48):
            self._wrong((*at, "size"), "`size` is no number of bytes")
            return None
        return value

    def _digest(self, entry: dict[str, Any], at: KeyPath) -> Digest:
        value = entry.get("digest")
        match = _DIGEST.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            self._wrong((*at, "digest"), '`digest` is "sha256:" or "sha512:" and its digits')
            return Digest(algorithm="sha256", hex="0" * 64)
        return Digest(algorithm=match[1] or match[3], hex=match[2] or match[4])
