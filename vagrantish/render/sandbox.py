"""Jinja2's sandbox, narrowed: what a template may call, and how much it may do.

A template comes with a project and may be a stranger's: it reads the names it is given, calls
nothing but what is listed here, and neither fills the memory nor keeps the processor busy. To
that end every expression's result is weighed, every loop counted, and what could be huge before
it is there (``*``, ``**``, ``center``, …) is refused by what it would come to.
"""

from __future__ import annotations

import difflib
import functools
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, Undefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing
from jinja2.visitor import NodeTransformer

from vagrantish.errors import RenderError
from vagrantish.render.limits import (
    FILTER_CHECKS,
    RANGE_MAX,
    SIZE_MAX,
    check_method,
    check_operands,
    extent,
    too_big,
)
from vagrantish.units import GIB, KIB, MIB, TIB, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from jinja2.runtime import Context

NAMES = ("env", "host", "machine", "params", "project")
WORK_MAX = 500_000  # at most a second or two; a usual value takes ten

_METHODS = frozenset((
    "capitalize", "count", "endswith", "find", "get", "index", "isalnum", "isalpha", "isdigit",
    "islower", "isspace", "isupper", "items", "keys", "ljust", "lower", "lstrip", "partition",
    "removeprefix", "removesuffix", "replace", "rfind", "rjust", "rpartition", "rsplit", "rstrip",
    "split", "splitlines", "startswith", "strip", "title", "upper", "values", "zfill",
))  # fmt: skip
_LOOP = frozenset((
    "changed", "cycle", "depth", "depth0", "first", "index", "index0", "last", "length",
    "nextitem", "previtem", "revindex", "revindex0",
))  # fmt: skip
# These read attributes, or take a time that grows with the square of the text.
_NO_FILTERS = ("attr", "striptags", "urlize")
_NO_STATEMENTS = (
    nodes.Block, nodes.CallBlock, nodes.Extends, nodes.FromImport, nodes.Import, nodes.Include,
)  # fmt: skip


class Names:
    """One of the names a template knows; its parts are keys, never attributes of an object."""

    __slots__ = ("label", "values")

    def __init__(self, label: str, values: Mapping[str, Any]) -> None:
        self.label = label
        self.values = values

    def __contains__(self, key: object) -> bool:
        return key in self.values

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def missing(self, key: str) -> str:
        """What to say of a part that is not there."""
        if self.label == "env":
            return (
                f'the environment variable {key} is not set; env.get("{key}", "…") gives a default'
            )
        thing = "there is no parameter" if self.label == "params" else f"`{self.label}` has no"
        return f"{thing} `{key}`{_did_you_mean(key, self.values)}"


class _Missing(StrictUndefined):
    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        name = str(self._undefined_name)
        if self._undefined_obj is not missing:
            return f"a {type(self._undefined_obj).__name__} has no `{name}`"
        if name in NAMES:
            return f"`{name}` is not known here"
        guess = _did_you_mean(name, NAMES)
        return f"`{name}` is not defined{guess or '; templates know ' + ', '.join(NAMES)}"


class Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("*", "**", "%"))

    def __init__(self, *, comments: bool) -> None:
        # A comment of a value would have to begin with NUL, which no template holds.
        start, end = ("{#", "#}") if comments else ("\0#", "#\0")
        super().__init__(
            comment_start_string=start,
            comment_end_string=end,
            undefined=_Missing,
            finalize=_writable,
            keep_trailing_newline=True,
            optimized=False,  # folding constants would compute unguarded while compiling
        )
        self.work = WORK_MAX
        self.globals = {"range": _range, "dict": dict}
        for name in _NO_FILTERS:
            del self.filters[name]
        for name, check in FILTER_CHECKS.items():
            self.filters[name] = _checked(self.filters[name], check)
        own = {"size": _size, "join": _join, _WEIGH: _weigh, _EACH: _each}
        self.filters.update(own, tojson=_json(self.filters["tojson"]))

    def spend(self, work: int) -> None:
        self.work -= work
        if self.work < 0:
            raise RenderError("the template takes too much work: make it smaller")

    def weigh(self, value: Any) -> Any:
        size = extent(value)
        if size > SIZE_MAX:
            raise too_big()
        self.spend(1 + size // 16)
        return value

    def each(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self.spend(1)
            yield value

    def concat(self, pieces: Iterable[str]) -> str:
        kept, size = [], 0
        for piece in pieces:
            size += len(piece)
            if size > SIZE_MAX:
                raise too_big()
            self.spend(1 + len(piece) // 16)
            kept.append(piece)
        return "".join(kept)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Names):
            return self._part(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Names):
            return self._part(obj, str(argument))
        return super().getitem(obj, argument)

    def _part(self, names: Names, key: str) -> Any:
        if names.label == "env" and key == "get":
            return names.get
        if key in names.values:
            return names.values[key]
        return self.undefined(names.missing(key))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ARG002  Jinja2's
        if isinstance(obj, LoopContext):
            return attr in _LOOP
        return isinstance(obj, str | dict | list | tuple) and attr in _METHODS

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        kind = type(obj).__name__
        return self.undefined(
            f"a template may not use `{attribute}` of a {kind}", exc=SecurityError
        )

    def wrap_str_format(self, value: Any) -> None:
        """``str.format`` is not offered: its widths cannot be told before they are there."""

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str):
            self.spend(len(owner) // 64)
            check_method(owner, obj.__name__, args)
        elif isinstance(obj, LoopContext) and args:  # a recursive loop
            args = (self.each(args[0]), *args[1:])
        self.spend(1)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        check_operands(operator, left, right)
        return super().call_binop(context, operator, left, right)


# --- what is put into every template ---------------------------------------------------------

_WEIGH, _EACH = "_weigh", "_each"
_WEIGHED = (
    nodes.BinExpr, nodes.Call, nodes.Concat, nodes.Dict, nodes.Filter, nodes.Getitem, nodes.List,
)  # fmt: skip


class Guard(NodeTransformer):
    """Weighs results and operands, counts loops, refuses statements that reach other files."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        if isinstance(node, _NO_STATEMENTS):
            word = type(node).__name__.lower()
            raise RenderError(f"a template has no `{word}` here")
        node = super().generic_visit(node, *args, **kwargs)
        if isinstance(node, nodes.For):
            node.iter = _filtered(node.iter, _EACH)
        elif isinstance(node, nodes.Filter | nodes.Test) and node.node is not None:
            node.node = _filtered(node.node, _WEIGH)
        elif isinstance(node, nodes.Compare):
            node.expr = _filtered(node.expr, _WEIGH)
            for operand in node.ops:
                operand.expr = _filtered(operand.expr, _WEIGH)
        stored = isinstance(node, nodes.Tuple) and node.ctx == "load"
        return _filtered(node, _WEIGH) if isinstance(node, _WEIGHED) or stored else node


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


@pass_context
def _weigh(context: Context, value: Any) -> Any:
    return context.environment.weigh(value)  # type: ignore[attr-defined]  # ours


@pass_context
def _each(context: Context, values: Any) -> Any:
    return context.environment.each(values)  # type: ignore[attr-defined]  # ours


@pass_context
def _writable(_context: Context, value: Any) -> Any:
    """Called with all that is written out; being given the context, never while compiling."""
    if isinstance(value, Names):
        raise RenderError(f"`{value.label}` is many things: name one, as in {value.label}.NAME")
    if value is None or isinstance(value, str | int | float | list | tuple | dict | Undefined):
        return value
    raise RenderError(f"a {type(value).__name__} cannot be written out")


def _checked(plain: Callable[..., Any], check: Callable[..., None]) -> Callable[..., Any]:
    """``plain`` behind ``check``, which is spared what Jinja2 passes to some filters first."""
    passed = 1 if hasattr(plain, "jinja_pass_arg") else 0

    @functools.wraps(plain)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        check(*args[passed:], **kwargs)
        return plain(*args, **kwargs)

    return guarded


def _range(*args: int) -> range:
    numbers = range(*args)
    if len(numbers) > RANGE_MAX:
        raise RenderError(f"a range has at most {RANGE_MAX} numbers")
    return numbers


@pass_context
def _join(context: Context, values: Any, separator: str = "") -> str:
    texts: list[str] = []
    for value in _each(context, values):
        texts.extend((str(separator), str(_weigh(context, value))))
    return context.environment.concat(texts[1:])


def _size(value: Any) -> Any:
    """Bytes → ``"512MiB"``, ``"512MiB"`` → bytes."""
    return parse_size(value) if isinstance(value, str) else _size_text(int(value))


def _size_text(size_bytes: int) -> str:
    """In the biggest unit that fits exactly, else in MiB, rounded down; units.parse_size reads it."""
    for unit, factor in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size_bytes >= factor and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return f"{size_bytes // MIB}MiB" if size_bytes >= MIB else f"{size_bytes}B"


def _json(plain: Callable[..., Any]) -> Callable[..., str]:
    """Jinja2 marks JSON as safe HTML, and then escapes whatever it is joined with."""

    @functools.wraps(plain)
    def unmarked(*args: Any, **kwargs: Any) -> str:
        return str.__str__(plain(*args, **kwargs))

    return unmarked


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(word[:64], list(known), n=1)
    return f"; did you mean `{matches[0]}`?" if matches else ""
