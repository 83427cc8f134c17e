"""The files and options settings come from, weakest first; cheap enough for `vx status`."""

from __future__ import annotations

import os

from vagrantish import toml
from vagrantish.errors import ConfigError, NoXhyvefile, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from vagrantish.errors import Problem
    from vagrantish.paths import VxHome
    from vagrantish.toml import Document, KeyPath

# Where a layer comes from decides what it may set. Also the order of strength.
BOX, USER, PROJECT, LOCAL, SET = range(5)


class Layer:
    """One table of settings and where each of them is written."""

    __slots__ = ("document", "kind", "label", "table")

    def __init__(
        self, kind: int, label: str, table: dict[str, Any], document: Document | None = None
    ) -> None:
        self.kind = kind
        self.label = label
        self.table = table
        self.document = document

    @property
    def rank(self) -> int:
        return self.kind

    def line(self, path: KeyPath) -> int:
        return self.document.line(path) if self.document else 0

    def where(self, path: KeyPath) -> str:
        """``Xhyvefile:12``, ``--set``, ``box micro@12``."""
        return self.document.where(path) if self.document else self.label


def read_layers(file: Path, *, home: VxHome, sets: Sequence[str] = ()) -> tuple[Layer, ...]:
    """The layers that exist, weakest first; the box's own comes in when the box is known.

    Raises NoXhyvefile; ConfigError for all files that are not TOML; UsageError for ``--set``.
    """
    if not os.path.lexists(file):
        raise NoXhyvefile(f"there is no {file}", hint="Run `vx init` to write one.")
    files = ((USER, home.config), (PROJECT, file), (LOCAL, local_of(file)))
    layers: list[Layer] = []
    problems: list[Problem] = []
    for kind, path in files:
        if not os.path.lexists(path):
            continue
        try:
            document = toml.read(path)
        except ConfigError as error:
            problems.extend(error.problems)
        else:
            layers.append(Layer(kind, document.name, document.table, document))
    if problems:
        raise ConfigError(problems)
    if sets:
        layers.append(Layer(SET, "--set", _table_of(sets)))
    return tuple(layers)


def project_of(layers: Sequence[Layer]) -> Layer:
    """The Xhyvefile's own layer."""
    return next(layer for layer in layers if layer.kind == PROJECT)


def local_of(file: Path) -> Path:
    """What belongs to this computer alone and is not committed."""
    return file.with_name(f"{file.name}.local")


def is_template(text: str) -> bool:
    return "{{" in text or "{%" in text


def _table_of(sets: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE``, each value TOML or else text, in one table; the later wins."""
    table: dict[str, Any] = {}
    for item in sets:
        key, equals, text = item.partition("=")
        try:
            path = toml.parse_key(key)
        except ValueError:
            path = ()
        if not path or not equals:
            raise UsageError(
                f"--set {item[:200]!r}: not KEY=VALUE",
                hint="For instance --set cpus=2 or --set machines.web.memory=1GiB",
            )
        try:
            value = toml.parse_value(text)
        except ValueError:
            value = text
        node = table
        for part in path[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise UsageError(
                    f"--set {key} reaches into {part}, which another --set gave a value"
                )
        node[path[-1]] = value
    return table
