"""What one setting is: the rows the table of settings is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vagrantish.config.kinds import Kind


@dataclass(frozen=True)
class Unbuilt:
    """A setting of the contract whose feature is still to come."""

    wants: str = "left out"


@dataclass(frozen=True)
class Table:
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Tables:
    """A list of tables; those of a stronger layer are appended to those of the weaker."""

    keys: tuple[Key, ...]
    most: int = 256


@dataclass(frozen=True)
class TextOr:
    """Text, or a table instead: the box."""

    text: Kind
    table: Table


@dataclass(frozen=True)
class Key:
    """One setting. The table of these drives checking, schema, `explain` and the reference."""

    name: str
    kind: Kind | Unbuilt | Table | Tables | TextOr
    help: str
    default: Any = None  # as it would be written
    shown_default: str = ""  # in place of ``default``, for people
    required: bool = False
    box: bool = False  # a box may set it
    masked: bool = False  # not shown where its step is sensitive
    step: str = ""  # the type of step it belongs to
    early: bool = False  # read by names.py, before the machines are known
