"""The kinds of value a setting takes: how each is checked, converted and described."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from vagrantish import toml
from vagrantish.config.layers import is_template
from vagrantish.config.problems import quoted, shown
from vagrantish.units import format_size, parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.toml import KeyPath

_TEXT_MAX = 32  # of a size or a duration
_TEMPLATE_SCHEMA = {"type": "string", "pattern": r"\{[{%]"}


class Complain(Protocol):
    def __call__(self, message: str, at: KeyPath = (), hint: str = "") -> None:
        """``at``: where below the value; the message goes on from the setting's name."""


class Kind(Protocol):
    @property
    def wants(self) -> str:
        """What it takes, for people: goes on from "must be"."""

    def read(self, value: Any, complain: Complain) -> Any:
        """The plain value as vx works with it; what comes back after a complaint is not used."""

    def render(self, value: Any, render: Callable[[str, KeyPath], str]) -> Any:
        """The plain value with every template in it rendered and converted to what is wanted."""

    def schema(self) -> dict[str, Any]:
        """JSON Schema, draft-07."""


class _Scalar:
    """One value. A template in it is rendered and converted by ``from_text``."""

    def render(self, value: Any, render: Callable[[str, KeyPath], str]) -> Any:
        if isinstance(value, str) and is_template(value):
            return self.from_text(render(value, ()))
        return value

    def from_text(self, text: str) -> Any:
        return text


def _mismatch(kind: Kind, value: Any) -> str:
    return f"must be {kind.wants}, got {shown(value)}"


@dataclass(frozen=True)
class Whole(_Scalar):
    low: int
    high: int

    @property
    def wants(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def read(self, value: Any, complain: Complain) -> Any:
        if type(value) is not int or not self.low <= value <= self.high:
            complain(_mismatch(self, value))
        return value

    def from_text(self, text: str) -> Any:
        written = text.strip().removesuffix(".0")  # `host.cpus / 2` writes 1.0
        digits = written.removeprefix("-")
        return int(written) if digits.isascii() and digits.isdigit() and len(digits) < 20 else text

    def schema(self) -> dict[str, Any]:
        number = {"type": "integer", "minimum": self.low, "maximum": self.high}
        return {"anyOf": [number, _TEMPLATE_SCHEMA]}


@dataclass(frozen=True)
class Flag(_Scalar):
    wants: str = "true or false"

    def read(self, value: Any, complain: Complain) -> Any:
        if type(value) is not bool:
            complain(_mismatch(self, value))
        return value

    def from_text(self, text: str) -> Any:
        return {"true": True, "false": False}.get(text.strip().lower(), text)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "boolean"}, _TEMPLATE_SCHEMA]}


@dataclass(frozen=True)
class Size(_Scalar):
    """Read as bytes."""

    low: int
    high: int
    wants: str = 'a size such as "512MiB"'

    def read(self, value: Any, complain: Complain) -> Any:
        size = _quantity(self, parse_size, value, complain)
        if size is not None and not self.low <= size <= self.high:
            limits = f"{format_size(self.low)} to {format_size(self.high)}"
            complain(f"must be {limits}, got {shown(value)}")
        return size

    def schema(self) -> dict[str, Any]:
        pattern = r"^\s*[0-9]+(\.[0-9]+)?\s*(B|[KMGT]iB|[kKMGT]B)\s*$"
        return {"anyOf": [{"type": "string", "pattern": pattern}, _TEMPLATE_SCHEMA]}


@dataclass(frozen=True)
class Duration(_Scalar):
    """Read as seconds."""

    low: float = 0.1
    high: float = 7 * 24 * 3600
    wants: str = 'a duration such as "90s" or "5m"'

    def read(self, value: Any, complain: Complain) -> Any:
        seconds = _quantity(self, parse_duration, value, complain)
        if seconds is not None and not self.low <= seconds <= self.high:
            limits = f'"{self.low:g}s" to "{self.high:g}s"'
            complain(f"must be {limits}, got {shown(value)}")
        return seconds

    def schema(self) -> dict[str, Any]:
        pattern = r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|min|h)\s*$"
        return {"anyOf": [{"type": "string", "pattern": pattern}, _TEMPLATE_SCHEMA]}


def _quantity(
    kind: Kind, parse: Callable[[str], float], value: Any, complain: Complain
) -> float | None:
    """None after a complaint."""
    if not isinstance(value, str) or len(value) > _TEXT_MAX:
        complain(_mismatch(kind, value))
        return None
    try:
        return parse(value)
    except ValueError as error:
        plain = "".join(char if char.isprintable() else "?" for char in str(error))
        complain(f"must be {kind.wants}: {plain}")
        return None


@dataclass(frozen=True)
class Word(_Scalar):
    """One of a few words. ``unbuilt`` are those whose feature is still to come."""

    words: tuple[str, ...]
    unbuilt: tuple[str, ...] = ()

    @property
    def wants(self) -> str:
        *most, last = (f'"{word}"' for word in self.words)
        return f"{', '.join(most)} or {last}" if most else last

    def read(self, value: Any, complain: Complain) -> Any:
        if isinstance(value, str) and value in self.unbuilt:
            complain(f'"{value}" {not_built()}: use {self.wants}')
        elif not isinstance(value, str) or value not in self.words:
            complain(_mismatch(self, value), (), _near(value, self.words))
        return value

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(self.words)}, _TEMPLATE_SCHEMA]}


@dataclass(frozen=True)
class Text(_Scalar):
    """Text that ``parse`` takes. It raises ValueError, its text fit for the user or empty."""

    wants: str
    parse: Callable[[str], Any]
    secret: bool = False  # whether a wrong value may be something nobody should see
    number_hint: str = ""  # what to say of a number given in its place

    def read(self, value: Any, complain: Complain) -> Any:
        got = "" if self.secret else f", got {shown(value)}"
        if not isinstance(value, str):
            number = isinstance(value, int) and not isinstance(value, bool)
            complain(f"must be {self.wants}{got}", (), self.number_hint if number else "")
            return value
        try:
            return self.parse(value)
        except ValueError as error:
            complain(f"must be {self.wants}{f': {error}' if str(error) else got}")
            return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


@dataclass(frozen=True)
class Many:
    """A list, read as a tuple; with ``single`` one value stands for a list of it."""

    item: Kind
    single: bool = False
    most: int = 256

    @property
    def wants(self) -> str:
        one = f"{self.item.wants}, or " if self.single else ""
        return f"{one}a list, each {self.item.wants}"

    def read(self, value: Any, complain: Complain) -> Any:
        if self.single and isinstance(value, str):
            return (self.item.read(value, complain),)
        if not isinstance(value, list):
            complain(f"must be a list, got {shown(value)}")
            return ()
        if len(value) > self.most:
            complain(f"has {len(value)} entries, {self.most} are allowed")
            return ()

        def below(index: int) -> Complain:
            def complain_there(message: str, at: KeyPath = (), hint: str = "") -> None:
                complain(message, (index, *at), hint)

            return complain_there

        return tuple(self.item.read(item, below(index)) for index, item in enumerate(value))

    def render(self, value: Any, render: Callable[[str, KeyPath], str]) -> Any:
        if isinstance(value, str) and is_template(value):
            text = render(value, ())
            try:
                items = toml.parse_value(text)  # what Jinja2 writes for a list is TOML
            except ValueError:
                return text
            return items if isinstance(items, list) else text
        if not isinstance(value, list) or len(value) > self.most:
            return value

        def below(index: int) -> Callable[[str, KeyPath], str]:
            return lambda text, at: render(text, (index, *at))

        return [self.item.render(item, below(index)) for index, item in enumerate(value)]

    def schema(self) -> dict[str, Any]:
        item = self.item.schema()
        many = {"type": "array", "items": item, "maxItems": self.most}
        return {"anyOf": [many, item if self.single else _TEMPLATE_SCHEMA]}


@dataclass(frozen=True)
class EnvVars:
    """A table of environment variables; numbers and booleans become text."""

    wants: str = 'a table such as { NAME = "value" }'

    def read(self, value: Any, complain: Complain) -> Any:
        if not isinstance(value, dict):
            complain(_mismatch(self, value))
            return {}
        texts: dict[str, str] = {}
        for name, given in value.items():
            if not is_variable(name):
                complain(
                    f"{quoted(name)} is no name of a variable", (name,), "use letters, digits and _"
                )
            if not isinstance(given, str | int | float):
                complain(f"the value of {quoted(name)} must be text", (name,))
            elif isinstance(given, str) and "\0" in given:
                complain(f"the value of {quoted(name)} holds a NUL character", (name,))
            else:
                texts[name] = str(given).lower() if isinstance(given, bool) else str(given)
        return texts

    def render(self, value: Any, render: Callable[[str, KeyPath], str]) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            name: render(given, (name,)) if isinstance(given, str) and is_template(given) else given
            for name, given in value.items()
        }

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
            "additionalProperties": {"type": ["string", "number", "boolean"]},
        }


def not_built() -> str:
    from vagrantish import __version__

    return f"is not built yet in vx {'.'.join(__version__.split('.')[:2])}"


def is_variable(name: str) -> bool:
    return name.isascii() and name.isidentifier()


def _near(value: Any, known: tuple[str, ...]) -> str:
    import difflib

    matches = difflib.get_close_matches(value[:40], known, n=1) if isinstance(value, str) else []
    return f'did you mean "{matches[0]}"?' if matches else ""
