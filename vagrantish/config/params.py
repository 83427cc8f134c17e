"""A project's parameters: what ``[params]`` declares, ``--param`` overrides and templates read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vagrantish import toml
from vagrantish.config.layers import BOX, SET, Layer, is_template
from vagrantish.config.problems import quoted, shown
from vagrantish.errors import RenderError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vagrantish.config.problems import Problems
    from vagrantish.toml import KeyPath

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "float": (float, int),
    "boolean": (bool,),
    "list": (list,),
}
KEYS = ("default", "type", "help")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_PARAM = Layer(SET, "--param", {})


class BadParam(RenderError):
    """A parameter has no usable value; told once, where it was declared or given."""

    def __init__(self, layer: Layer, path: KeyPath, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.layer = layer
        self.path = path


class Given:
    """A value a parameter was given, the strongest last."""

    __slots__ = ("layer", "path", "value")

    def __init__(self, layer: Layer, path: KeyPath, value: Any) -> None:
        self.layer = layer
        self.path = path
        self.value = value


class Declaration:
    """What all layers say of one parameter."""

    __slots__ = ("given", "help", "layer", "name", "path", "type")

    def __init__(self, name: str, layer: Layer) -> None:
        self.name = name
        self.layer = layer  # where it was first named
        self.path: KeyPath = ("params", name)
        self.type = ""
        self.help = ""
        self.given: list[Given] = []


class Params(Mapping[str, Any]):
    """Each value is worked out when first asked for, as it may need others.

    Asking for one that cannot be had raises BadParam.
    """

    def __init__(
        self, layers: Sequence[Layer], given: Sequence[str], render: Callable[[str], str]
    ) -> None:
        """``given``: the ``--param``s. Raises UsageError when one is not NAME=VALUE."""
        self._layers = [layer for layer in layers if layer.kind != BOX]
        self._render = render
        self._values: dict[str, Any] = {}
        self._bad: dict[str, BadParam] = {}
        self._working: list[str] = []
        self._uses: dict[str, set[str]] = {}
        self._read: set[str] = set()
        self.declared = self._declarations()
        self._given = dict(_split(item) for item in given)

    def __getitem__(self, name: str) -> Any:
        (self._uses[self._working[-1]] if self._working else self._read).add(name)
        if name in self._bad:
            raise self._bad[name]
        if name not in self._values:
            self._values[name] = self._worked_out(self.declared[name])
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.declared)

    def __len__(self) -> int:
        return len(self.declared)

    def __contains__(self, name: object) -> bool:
        return name in self.declared

    def read_since(self) -> set[str]:
        """Every parameter asked for since the last call, with those they needed themselves."""
        waiting, found = list(self._read), set[str]()
        self._read = set()
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self._uses.get(name, ()))
        return found

    def check(self, problems: Problems) -> None:
        """What is wrong with the declarations and with what ``--param`` names."""
        for layer in self._layers:
            table = layer.table.get("params", {})
            if not isinstance(table, dict):
                problems.add(layer, ("params",), "`params` is a table: write [params]")
                continue
            for name, value in table.items():
                _check_declaration(problems, layer, name, value)
        for name in self._given:
            if name not in self.declared:
                near = problems.near(name, self.declared)
                hint = near or "declare it in the Xhyvefile: [params]"
                problems.add(_PARAM, (), f"there is no parameter {quoted(name)}", hint)

    def check_values(self, problems: Problems) -> dict[str, Any]:
        """Every value that can be had; what is wrong with the others goes to ``problems``."""
        values = {}
        for name in self.declared:
            try:
                values[name] = self[name]
            except BadParam as error:
                problems.add(error.layer, error.path, error.message, error.hint)
        self.read_since()
        return values

    def sources(self, name: str) -> list[Given]:
        """Every value it was given, the strongest last."""
        declared = self.declared[name].given
        if name in self._given:
            return [*declared, Given(_PARAM, (), self._given[name])]
        return declared

    def _declarations(self) -> dict[str, Declaration]:
        found: dict[str, Declaration] = {}
        for layer in self._layers:
            table = layer.table.get("params")
            for name, value in table.items() if isinstance(table, dict) else ():
                if not NAME.fullmatch(name):
                    continue
                declared = found.setdefault(name, Declaration(name, layer))
                path: KeyPath = ("params", name)
                if isinstance(value, dict):
                    if isinstance(value.get("type"), str) and value["type"] in TYPES:
                        declared.type = value["type"]
                    if isinstance(value.get("help"), str):
                        declared.help = value["help"]
                    if "default" not in value:
                        continue
                    path, value = (*path, "default"), value["default"]
                declared.given.append(Given(layer, path, value))
        return found

    def _worked_out(self, declared: Declaration) -> Any:
        name = declared.name
        if name in self._working:
            around = " → ".join([*self._working[self._working.index(name) :], name])
            raise BadParam(
                declared.layer, declared.path, f"looping templates: the parameters need {around}"
            )
        self._working.append(name)
        self._uses[name] = set()
        try:
            return self._value(declared)
        except BadParam as error:
            self._bad[name] = error
            raise
        finally:
            self._working.pop()

    def _value(self, declared: Declaration) -> Any:
        sources = self.sources(declared.name)
        if not sources:
            raise BadParam(
                declared.layer, declared.path, f"the parameter `{declared.name}` has no value",
                hint=f"give --param {declared.name}=…, or a default",
            )  # fmt: skip
        source = sources[-1]
        kind = declared.type or _kind_of(declared.given[0].value if declared.given else "")
        value = source.value
        is_text = source.layer is _PARAM
        if not is_text:
            is_text = isinstance(value, str) and is_template(value)
            try:
                value = self._rendered(value)
            except BadParam:
                raise
            except RenderError as error:
                message = f"the parameter `{declared.name}`: {error.message}"
                raise BadParam(source.layer, source.path, message, hint=error.hint) from error
        try:
            return converted(kind, value) if is_text else checked(kind, value)
        except ValueError as error:
            message = f"the parameter `{declared.name}` {error}"
            raise BadParam(source.layer, source.path, message) from error

    def _rendered(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._render(value)
        if isinstance(value, list):
            return [self._render(item) if isinstance(item, str) else item for item in value]
        return value


def _check_declaration(problems: Problems, layer: Layer, name: str, value: Any) -> None:
    path: KeyPath = ("params", name)
    if not NAME.fullmatch(name):
        message = f"{quoted(name)} is no name for a parameter: use letters, digits and _"
        problems.add(layer, path, message)
    if not isinstance(value, dict):
        return
    for key, part in value.items():
        where = (*path, key)
        if key not in KEYS:
            message = f"unknown key {quoted(key)} of the parameter {quoted(name)}"
            problems.add(layer, where, message, problems.near(key, KEYS))
        elif key == "type" and (not isinstance(part, str) or part not in TYPES):
            message = f"the type of a parameter is one of {', '.join(TYPES)}, not {shown(part)}"
            problems.add(layer, where, message)
        elif key == "help" and not isinstance(part, str):
            problems.add(layer, where, "the help of a parameter is text")


def _kind_of(value: object) -> str:
    names = {bool: "boolean", int: "integer", float: "float", list: "list"}
    return names.get(type(value), "string")


def checked(kind: str, value: Any) -> Any:
    """A value as TOML gave it. Raises ValueError, its text fit for the user."""
    if kind == "list" and isinstance(value, list):
        if all(type(item) in (str, int, float, bool) for item in value):
            return value
        raise ValueError("is a list of text, numbers, true and false only")
    if type(value) not in TYPES[kind]:
        raise ValueError(f"must be of type {kind}, got {shown(value)}")
    return float(value) if kind == "float" else value


def converted(kind: str, text: str) -> Any:
    """A value from a command line or a template. Raises ValueError, its text fit for the user."""
    value: Any = text
    if kind != "string":
        written = text.strip()
        lowered = written.lower()  # Jinja2 writes True
        try:
            value = toml.parse_value(lowered if kind == "boolean" else written)
        except ValueError:
            value = text
    return checked(kind, value)


def _split(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals or not name.strip():
        raise UsageError(
            f"--param {item[:200]!r}: not NAME=VALUE", hint="For instance --param port=9000"
        )
    return name.strip(), value
