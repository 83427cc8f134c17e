"""Which machines a project has; cheap enough for `vx status` and completion."""

from __future__ import annotations

import os
from pathlib import Path

from vagrantish.config.layers import BOX, SET, USER, is_template, project_of, read_layers
from vagrantish.config.problems import Problems, Report, quoted, shown
from vagrantish.config.requires import check_requires
from vagrantish.config.templates import Templates
from vagrantish.errors import RenderError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from vagrantish.config.layers import Layer
    from vagrantish.paths import VxHome

    Table = tuple[Layer, dict[str, Any]]

DEFAULT = "default"
NAME_MAX = 40
COUNT_MAX = 64
MACHINES_MAX = 256


class MachineName:
    """A machine as far as its name goes. ``group`` is its table: ``web`` for ``web-2``."""

    __slots__ = ("autostart", "count", "group", "index", "name", "primary")

    def __init__(self, name: str, group: str, *, index: int = 1, count: int | None = None) -> None:
        self.name = name
        self.group = group
        self.index = index  # from 1
        self.count = count  # how many there are in the group, where it says so
        self.primary = False
        self.autostart = True

    @property
    def counted(self) -> bool:
        return self.count is not None

    def __repr__(self) -> str:
        return f"MachineName({self.name!r}, primary={self.primary}, autostart={self.autostart})"


def machine_names(
    file: Path,
    *,
    home: VxHome,
    env: Mapping[str, str],
    sets: Sequence[str] = (),
    params: Sequence[str] = (),
) -> tuple[MachineName, ...]:
    """The machines of the project, in the order of the file.

    Raises ConfigError for what stands in the way of knowing them; `config.load` reports the rest.
    """
    file = Path(os.path.abspath(file))
    layers = read_layers(file, home=home, sets=sets)
    check_requires(layers)
    problems = Problems()
    templates = Templates(layers, file, env=env, params=params)
    if params:
        templates.params.check(problems)
    members = expand(layers, templates, problems)
    problems.raise_any(len(members))
    return members


def expand(
    layers: Sequence[Layer], templates: Templates, problems: Problems
) -> tuple[MachineName, ...]:
    """Every machine, ``count`` of them for a table that says so."""
    members: list[MachineName] = []
    by_name: dict[str, MachineName] = {}
    for group, tables in _groups(layers, problems).items():
        reader = _Reader(group, tables, templates, problems)
        for member in reader.members():
            other = by_name.setdefault(member.name.lower(), member)
            if other is not member:
                reader.problem(
                    "",
                    f"there is already a machine {quoted(other.name)}"
                    + (
                        ""
                        if other.name == member.name
                        else f", and {quoted(member.name)} differs only in capitals"
                    ),
                )
            members.append(member)
            if len(members) > MACHINES_MAX:
                problems.add(
                    project_of(layers),
                    ("machines",),
                    f"there are more than {MACHINES_MAX} machines",
                )
                return tuple(members)
            member.autostart = reader.flag("autostart", member, default=True)
            member.primary = reader.flag("primary", member, default=False)
            first = next((one for one in members if one.primary), member)
            if member.primary and first is not member:
                message = f"only one machine is primary, and {quoted(first.name)} is already"
                reader.problem("primary", message, member)
    return tuple(members)


def name_complaint(name: str) -> str:
    """Why ``name`` cannot be a machine's; empty when it can."""
    if not name or len(name) > NAME_MAX:
        return f"has 1 to {NAME_MAX} characters"
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not (name[0].isalnum() and plain.isalnum() and name.isascii()):
        return "is made of letters, digits, -, _ and ., beginning with a letter or digit"
    return ""


def _groups(layers: Sequence[Layer], problems: Problems) -> dict[str, list[Table]]:
    """Each machine's own tables, weakest first."""
    groups: dict[str, list[Table]] = {}
    for layer in layers:
        if layer.kind in (BOX, USER):
            continue  # they cannot name machines, which check.py tells
        tables = layer.table.get("machines", {})
        if not isinstance(tables, dict):
            problems.add(layer, ("machines",), "`machines` holds tables: write [machines.NAME]")
            continue
        for name, table in tables.items():
            path = ("machines", name)
            complaint = name_complaint(name)
            if not isinstance(table, dict):
                message = f"the machine {quoted(name)} is a table: write [machines.NAME]"
                problems.add(layer, path, message)
            elif complaint:
                problems.add(layer, path, f"the name of the machine {quoted(name)} {complaint}")
            elif layer.kind == SET and name not in (groups or (DEFAULT,)):
                known = groups or (DEFAULT,)
                hint = problems.near(name, known) or f"there are {', '.join(known)}"
                problems.add(layer, path, f"there is no machine {quoted(name)}", hint)
            else:
                groups.setdefault(name, []).append((layer, table))
    return groups or {DEFAULT: []}


class _Reader:
    """Reads what decides the machines of one table."""

    def __init__(
        self, group: str, tables: Sequence[Table], templates: Templates, problems: Problems
    ) -> None:
        self._group = group
        self._tables = tables
        self._templates = templates
        self._problems = problems

    def members(self) -> Iterable[MachineName]:
        count = self._strongest("count")
        if count is None:
            return (MachineName(self._group, self._group),)
        number = self._rendered("count", count, None)
        if isinstance(number, str) and isinstance(count, str) and is_template(count):
            number = int(number) if number.isascii() and number.strip().isdigit() else number
        if type(number) is not int or not 1 <= number <= COUNT_MAX:
            if number is not None:
                message = (
                    f"`count` must be a whole number from 1 to {COUNT_MAX}, got {shown(number)}"
                )
                self.problem("count", message)
            number = 1
        names = [f"{self._group}-{index}" for index in range(1, number + 1)]
        if len(names[-1]) > NAME_MAX:
            self.problem(
                "", f"the name of the machine {quoted(names[-1])} {name_complaint(names[-1])}"
            )
        return (
            MachineName(name, self._group, index=index, count=number)
            for index, name in enumerate(names, start=1)
        )

    def flag(self, key: str, member: MachineName, *, default: bool) -> bool:
        given = self._strongest(key)
        if given is None:
            return default
        value = self._rendered(key, given, member)
        if isinstance(value, str) and isinstance(given, str) and is_template(given):
            value = {"true": True, "false": False}.get(value.strip().lower(), value)
        if type(value) is bool:
            return value
        if value is not None:
            self.problem(key, f"`{key}` must be true or false, got {shown(value)}", member)
        return default

    def problem(self, key: str, message: str, member: MachineName | None = None) -> None:
        layer, path = self._place(key)
        if member:
            Report(self._problems, member).add(layer, path, message)
        else:
            self._problems.add(layer, path, message)

    def _strongest(self, key: str) -> Any:
        return next((table[key] for _, table in reversed(self._tables) if key in table), None)

    def _place(self, key: str) -> tuple[Layer, tuple[str, ...]]:
        where = [layer for layer, table in self._tables if not key or key in table]
        path = ("machines", self._group)
        return (where[-1], (*path, key)) if key else (where[0], path)

    def _rendered(self, key: str, value: Any, member: MachineName | None) -> Any:
        """None when it cannot be, which is then told."""
        if not isinstance(value, str):
            return value
        try:
            return self._templates.render(value, member)
        except RenderError as error:
            layer, path = self._place(key)
            if member:
                Report(self._problems, member).add_render(layer, path, key, error)
            else:
                self._problems.add_render(layer, path, key, error)
            return None
