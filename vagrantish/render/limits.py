"""What an operation in a template would come to, refused before it is there."""

from __future__ import annotations

import re
from collections.abc import ItemsView, KeysView, ValuesView
from itertools import chain
from typing import TYPE_CHECKING, Any

from vagrantish.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SIZE_MAX = 1 << 20  # what any one value may come to: characters, and _ELEMENT for each element
RANGE_MAX = 10_000
_ELEMENT = 16
_SIZED = (list, tuple, dict, range, KeysView, ValuesView, ItemsView)
_INT_BITS_MAX = 4096
_WIDTH_MAX = 10_000  # of padding and indents, and of parts to cut a list into


def extent(value: Any) -> int:
    """How big ``value`` is, all the way down; counted no further than to know it is too big."""
    total, waiting = 0, [value]
    while waiting and total <= SIZE_MAX:
        item = waiting.pop()
        inside: Iterable[Any] = ()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, int):
            total += SIZE_MAX + 1 if item.bit_length() > _INT_BITS_MAX else 1
        elif isinstance(item, dict):
            inside = chain(item, item.values())
        elif isinstance(item, list | tuple):
            inside = item
        if isinstance(item, _SIZED):
            total += _ELEMENT * (1 + len(item))
        if total <= SIZE_MAX:
            waiting.extend(inside)
    return total


def too_big() -> RenderError:
    return RenderError(f"the template makes more than {SIZE_MAX >> 20} MiB")


def _limit(size: Any, maximum: int = SIZE_MAX) -> None:
    if isinstance(size, int | float) and abs(size) > maximum:
        raise too_big()


def check_operands(operator: str, left: Any, right: Any) -> None:
    if operator == "**" and isinstance(left, int) and isinstance(right, int):
        _limit(left.bit_length() * max(right, 0), _INT_BITS_MAX)
    elif operator == "*":
        for count, repeated in ((left, right), (right, left)):
            if isinstance(count, int) and isinstance(repeated, str | list | tuple):
                _limit(count * extent(repeated))
    elif operator == "%" and isinstance(left, str):
        _check_format(left, right)


def _check_format(value: str, *args: Any, **kwargs: Any) -> None:
    if re.search(r"%[^a-zA-Z%]*([0-9]{4}|\*)", value):
        raise too_big()
    _limit(len(value) + value.count("%") * (1000 + extent(args) + extent(kwargs)), 64 * SIZE_MAX)


def _check_replace(value: Any, old: Any, new: Any, *_rest: Any, **_named: Any) -> None:
    if isinstance(value, str) and isinstance(old, str) and isinstance(new, str):
        _limit(len(value) + (len(value) // max(len(old), 1) + 1) * len(new))


def check_method(owner: str, name: str, args: tuple[Any, ...]) -> None:
    if name == "replace" and len(args) > 1:
        _check_replace(owner, *args)
    elif name in ("ljust", "rjust", "zfill") and args:
        _limit(args[0], _WIDTH_MAX)


def _check_width(_value: Any, width: Any = 0, *_rest: Any, **_named: Any) -> None:
    _limit(width, _WIDTH_MAX)


def _check_count(_value: Any, linecount: Any = 0, *_rest: Any, slices: Any = 0, **_n: Any) -> None:
    _limit(linecount, _WIDTH_MAX)
    _limit(slices, _WIDTH_MAX)


def _check_indent(value: Any, width: Any = 4, *_rest: Any, **_named: Any) -> None:
    each = len(width) if isinstance(width, str) else width
    lines = str(value).count("\n") + 1 if isinstance(value, str) else 1
    _limit(lines * each if isinstance(each, int) else 0)


def _check_wrap(
    value: Any, _width: Any = 79, _long: Any = 1, wrapstring: Any = None, *_r: Any, **_n: Any
) -> None:
    if isinstance(value, str) and isinstance(wrapstring, str):
        _limit((len(value) + 1) * len(wrapstring))


def _check_round(_value: Any, precision: Any = 0, *_rest: Any, **_named: Any) -> None:
    _limit(precision, 300)


def _check_json(value: Any, indent: Any = None) -> None:
    _limit(extent(value))
    if indent is not None and not (isinstance(indent, int) and 0 <= indent <= 16):
        raise RenderError("`tojson` indents by 0 to 16")


def _check_sum(_value: Any, attribute: Any = None, start: Any = 0) -> None:
    if attribute is not None or not isinstance(start, int | float):
        raise RenderError("`sum` adds numbers")


FILTER_CHECKS: dict[str, Callable[..., None]] = {
    "batch": _check_count,
    "center": _check_width,
    "format": _check_format,
    "indent": _check_indent,
    "replace": _check_replace,
    "round": _check_round,
    "slice": _check_count,
    "sum": _check_sum,
    "tojson": _check_json,
    "wordwrap": _check_wrap,
}
