"""Versions of boxes: dotted, in natural order, asked for by their first parts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    Piece = tuple[int, int, str]  # rank, number, text
    Key = tuple[tuple[tuple[Piece, ...], ...], str]

_PIECE = re.compile(r"[0-9]+|[^0-9]+")
_BEFORE = frozenset(("dev", "a", "alpha", "b", "beta", "pre", "rc"))  # as in 1.0-rc1
_END: Piece = (1, 0, "")


def key(version: str) -> Key:
    """Sorts by part: ``9.8`` before ``9.10``, ``1.0-rc1`` before ``1.0`` before ``1.0-2``."""
    return tuple(_pieces(part) for part in version.split(".")), version


def matches(version: str, wanted: str) -> bool:
    """Whether ``wanted`` is the whole of ``version`` or its first dotted parts.

    ``24.04`` matches ``24.04.20260705`` and neither ``24.041`` nor ``24.04-minimal.1``.
    """
    return version == wanted or version.startswith(f"{wanted}.")


def newest(versions: Iterable[str], wanted: str = "") -> str | None:
    """The newest, of those that match ``wanted`` when that is given; None when there is none."""
    return max((v for v in versions if not wanted or matches(v, wanted)), key=key, default=None)


def _pieces(part: str) -> tuple[Piece, ...]:
    return (*map(_piece, _PIECE.findall(part)), _END)


def _piece(text: str) -> Piece:
    if text[0] in "0123456789":
        return 3, int(text), ""
    word = text.strip("-_+")
    return (0 if word.lower() in _BEFORE else 2), 0, text
