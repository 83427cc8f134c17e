"""Where definitions lie: in a folder, or in the file a fetched catalog is kept in."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vagrantish.box import reference
from vagrantish.box.fields import FILE_NAME, SIZE_MAX
from vagrantish.errors import BoxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from vagrantish.model import CatalogSource
    from vagrantish.paths import VxHome

DEFINITIONS_MAX = 1000
TOTAL_MAX = 16 << 20  # bytes of all definitions of one catalog
_SCHEMA = 1


class Shelf(Protocol):
    """Definitions by the names of their boxes."""

    @property
    def label(self) -> str:
        """For people."""

    def names(self) -> tuple[str, ...]:
        """Raises BoxError when they cannot be had."""

    def has(self, name: str) -> bool:
        """Raises BoxError as `names` does."""

    def text(self, name: str) -> str:
        """The box.toml of a name it has. Raises BoxError."""

    def place(self, name: str) -> str:
        """Where that box.toml is, for people."""


class Folder:
    """``NAME/box.toml``, in the folder itself or else in its ``boxes``."""

    def __init__(self, path: Path, label: str) -> None:
        self.label = label
        self._path = path
        self._root: Path | None = None

    def names(self) -> tuple[str, ...]:
        root = self._find_root()
        return tuple(sorted(name for name in _listed(root) if _is_file(root / name / FILE_NAME)))

    def has(self, name: str) -> bool:
        return _is_file(self._find_root() / name / FILE_NAME)

    def text(self, name: str) -> str:
        return _decoded(_read(self._find_root() / name / FILE_NAME), self.place(name))

    def place(self, name: str) -> str:
        return str(self._find_root() / name)

    def _find_root(self) -> Path:
        if self._root is None:
            here = _listed(self._path)
            direct = any(_is_file(self._path / name / FILE_NAME) for name in here)
            below = self._path / "boxes"
            self._root = below if not direct and below.is_dir() else self._path
        return self._root


@dataclass(frozen=True)
class Kept:
    """A catalog as it was last fetched."""

    label: str
    fetched_at: float
    texts: Mapping[str, str]

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.texts))

    def has(self, name: str) -> bool:
        return name in self.texts

    def text(self, name: str) -> str:
        return self.texts[name]

    def place(self, name: str) -> str:
        return f"{name} in {self.label}"


def read_kept(home: VxHome, source: CatalogSource) -> Kept | None:
    """None when it was never fetched, or what was kept is of no use."""
    try:
        raw = _kept_path(home, source).read_bytes()
        table = json.loads(raw)
        if table["schema"] != _SCHEMA or table["catalog"] != source.text:
            return None
        texts = {str(name): str(text) for name, text in table["definitions"].items()}
        return Kept(source.text, float(table["fetched_at"]), texts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def keep(
    home: VxHome, source: CatalogSource, definitions: Mapping[str, bytes], *, fetched_at: float
) -> Kept:
    """Checks what was fetched and keeps it in place of what was there.

    Raises BoxError, and what was there stays; HostError.
    """
    from vagrantish.files import make_dir, write_atomic

    if not definitions:
        raise BoxError(
            f"the catalog {source.text} holds no definitions",
            hint=f"A catalog has a file NAME/{FILE_NAME} for each box.",
        )
    if len(definitions) > DEFINITIONS_MAX or sum(map(len, definitions.values())) > TOTAL_MAX:
        raise BoxError(
            f"the catalog {source.text} is too big: {DEFINITIONS_MAX} boxes are allowed, "
            f"and {TOTAL_MAX >> 20} MiB of definitions"
        )
    texts = {}
    for name, data in sorted(definitions.items()):
        try:
            reference.check_name(name)
        except ValueError as error:
            raise BoxError(f"the catalog {source.text} cannot be used: {error}") from error
        texts[name] = _decoded(data, f"{name} in {source.text}")
    table = {
        "schema": _SCHEMA,
        "catalog": source.text,
        "fetched_at": fetched_at,
        "definitions": texts,
    }
    make_dir(home.catalogs)
    write_atomic(_kept_path(home, source), json.dumps(table, indent=1).encode() + b"\n")
    return Kept(source.text, fetched_at, texts)


def chosen(paths: Iterable[str]) -> dict[str, str]:
    """Of all box.toml, those at NAME/box.toml by NAME: seen from the top, else from ``boxes``,
    else both within the one folder everything is in, as archives of repositories have it.
    """
    split = [path.split("/") for path in paths]
    tops = {parts[0] for parts in split}
    roots: list[list[str]] = [[], ["boxes"]]
    if len(tops) == 1:
        top = tops.pop()
        roots += [[top], [top, "boxes"]]
    for root in roots:
        depth = len(root)
        found = {
            parts[depth]: "/".join(parts)
            for parts in split
            if len(parts) == depth + 2 and parts[:depth] == root
        }
        if found:
            return found
    return {}


def _kept_path(home: VxHome, source: CatalogSource) -> Path:
    return home.catalogs / f"{hashlib.sha256(source.text.encode()).hexdigest()[:16]}.json"


def _listed(path: Path) -> list[str]:
    """The folders in it that could be a box's. Raises BoxError."""
    try:
        names = os.listdir(path)
    except OSError as error:
        raise BoxError(
            f"the catalog {path} cannot be read: {error.strerror}",
            hint="It is named by `catalogs` in config.toml in VX_HOME.",
        ) from error
    return [name for name in names if _is_name(name)]


def _is_name(name: str) -> bool:
    try:
        reference.check_name(name)
    except ValueError:
        return False
    return True


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(SIZE_MAX + 1)
    except OSError as error:
        raise BoxError(f"cannot read {path}: {error.strerror}") from error


def _decoded(data: bytes, place: str) -> str:
    if len(data) > SIZE_MAX:
        raise BoxError(f"{FILE_NAME} of {place} is bigger than {SIZE_MAX >> 10} KiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BoxError(f"{FILE_NAME} of {place} is not UTF-8 text") from error
