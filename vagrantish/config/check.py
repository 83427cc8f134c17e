"""The shape of one layer: unknown, misplaced and unbuilt keys, tables that are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vagrantish.config.keys import Key, Table, Tables, TextOr, Unbuilt
from vagrantish.config.kinds import Word, not_built
from vagrantish.config.layers import BOX, SET, USER, is_template
from vagrantish.config.problems import quoted, shown
from vagrantish.config.settings import (
    MACHINE,
    MACHINE_ONLY,
    PROJECT_ONLY,
    STEP_TYPES,
    USER_ONLY,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagrantish.config.layers import Layer
    from vagrantish.config.problems import Problems
    from vagrantish.toml import KeyPath

_ABOVE = frozenset(key.name for key in MACHINE)
_SPECIAL = ("machines", "params")  # read by names.py and params.py
_USERS = tuple(key.name for key in USER_ONLY)
_USERS_PLACE = "belongs in config.toml in VX_HOME: no project may set it"


def check_layer(layer: Layer, problems: Problems) -> None:
    _Check(layer, problems).run()


class _Check:
    def __init__(self, layer: Layer, problems: Problems) -> None:
        self._layer = layer
        self._problems = problems

    def run(self) -> None:
        table = self._layer.table
        if self._layer.kind == BOX:
            self._table(table, (), MACHINE, ())
            return
        misplaced = {key.name: "belongs in a [machines.NAME] table" for key in MACHINE_ONLY}
        others: tuple[str, ...] = _SPECIAL
        if self._layer.kind == USER:
            misplaced |= dict.fromkeys(("machines", "requires"), "belongs in a project's Xhyvefile")
            others += _USERS  # read by catalogs.py
        else:
            misplaced |= dict.fromkeys(_USERS, _USERS_PLACE)
        self._table(table, (), (*MACHINE, *PROJECT_ONLY), others, misplaced)
        machines = table.get("machines")
        if self._layer.kind == USER or not isinstance(machines, dict):
            return
        misplaced = dict.fromkeys(
            (*_SPECIAL, *(key.name for key in PROJECT_ONLY)), "belongs above the [machines] tables"
        )
        misplaced |= dict.fromkeys(_USERS, _USERS_PLACE)
        for name, machine in machines.items():
            if isinstance(machine, dict):
                path = ("machines", name)
                self._table(machine, path, (*MACHINE, *MACHINE_ONLY), (), misplaced)

    def _table(
        self,
        table: dict[str, Any],
        path: KeyPath,
        keys: Sequence[Key],
        others: Sequence[str] = (),
        misplaced: dict[str, str] | None = None,
    ) -> None:
        known = {key.name: key for key in keys}
        for name, value in table.items():
            at = (*path, name)
            if misplaced and name in misplaced:
                self._add(at, f"`{name}` {misplaced[name]}")
            elif name in known:
                self._value(known[name], value, at)
            elif name not in others:
                hint = self._problems.near(name, (*known, *others))
                if not hint and name in _ABOVE and path:
                    hint = f"a machine's `{name}` is written above the first [table]"
                self._add(at, f"unknown key {quoted(name)}{_of(path)}", hint)

    def _value(self, key: Key, value: Any, at: KeyPath) -> None:
        kind = key.kind
        if isinstance(kind, Unbuilt):
            self._add(at, f"`{key.name}` {not_built()}: remove it")
        elif isinstance(kind, Table):
            if isinstance(value, dict):
                self._table(value, at, kind.keys)
            else:
                self._add(at, f"`{key.name}` is a table: write [{key.name}], got {shown(value)}")
        elif isinstance(kind, Tables):
            self._tables(key.name, kind, value, at)
        elif isinstance(kind, TextOr) and isinstance(value, dict):
            if self._layer.kind == BOX:
                self._add(at, f"a box cannot set `{_dotted(at)}`")
            self._table(value, at, kind.table.keys)
        elif self._layer.kind == BOX and not key.box:
            self._add(at, f"a box cannot set `{_dotted(at)}`")
        elif self._layer.kind == BOX and isinstance(value, str) and is_template(value):
            # It would be rendered with this computer's environment variables at hand.
            self._add(at, f"a box's `{_dotted(at)}` cannot be a template")

    def _tables(self, name: str, kind: Tables, value: Any, at: KeyPath) -> None:
        if self._layer.kind == BOX:
            self._add(at, f"a box cannot set `{name}`")
        elif isinstance(value, dict) and self._layer.kind == SET:
            message = f"`{name}` is a list of tables: --set cannot reach into one of them"
            self._add(at, message, "put it into Xhyvefile.local")
        elif not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self._add(at, f"`{name}` is a list of tables: write [[{name}]]")
        elif len(value) > kind.most:
            self._add(at, f"`{name}` has {len(value)} entries, {kind.most} are allowed")
        else:
            for index, item in enumerate(value):
                if name == "provision" and step_type(item) not in STEP_TYPES:
                    # Its other keys are those of a type to come, or of none.
                    self._step_type(kind.keys, step_type(item), (*at, index, "type"))
                    continue
                self._table(item, (*at, index), kind.keys)
                self._strangers(kind.keys, item, (*at, index))

    def _step_type(self, keys: Sequence[Key], value: Any, path: KeyPath) -> None:
        if isinstance(value, str) and is_template(value):
            self._add(path, "`provision.type` cannot be a template: it decides on the other keys")
            return

        def complain(message: str, at: KeyPath = (), hint: str = "") -> None:
            self._add((*path, *at), f"`provision.type` {message}", hint)

        kind = next(key.kind for key in keys if key.name == "type")
        assert isinstance(kind, Word)
        kind.read(value, complain)

    def _strangers(self, keys: Sequence[Key], item: dict[str, Any], at: KeyPath) -> None:
        """Keys of another type of step."""
        for key in keys:
            if key.name in item and key.step and key.step != step_type(item):
                hint = f'write type = "{key.step}"' if "type" not in item else ""
                self._add((*at, key.name), f"`{key.name}` belongs to {key.step} steps", hint)

    def _add(self, at: KeyPath, message: str, hint: str = "") -> None:
        self._problems.add(self._layer, at, message, hint)


def step_type(item: dict[str, Any]) -> Any:
    return item.get("type", STEP_TYPES[0])


def _of(path: KeyPath) -> str:
    if not path:
        return ""
    names = _dotted(path)
    return f" in [[{names}]]" if isinstance(path[-1], int) else f" in [{names}]"


def _dotted(path: KeyPath) -> str:
    return ".".join(part for part in path if isinstance(part, str))
