"""One thing the doctor looked at, and what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.events import Op


class Level(StrEnum):
    OK = "ok"
    NOTE = "note"  # worth knowing; nothing is wrong
    WARNING = "warning"  # something will not work as well as it could, or not always
    ERROR = "error"  # something cannot work


@dataclass(frozen=True, kw_only=True)
class Finding:
    """``id`` is ``area.check``, stable: scripts match it."""

    id: str
    level: Level
    text: str
    hint: str = ""
    subject: str = ""  # the machine, box or provider it is about, where there are several
    fix: Callable[[Op], None] | None = None  # safe to do unasked; nothing is lost by it

    @property
    def area(self) -> str:
        return self.id.partition(".")[0]


def ok(id: str, text: str, *, subject: str = "") -> Finding:  # noqa: A002 - the field's name
    return Finding(id=id, level=Level.OK, text=text, subject=subject)
