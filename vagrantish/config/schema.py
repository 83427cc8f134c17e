"""The JSON Schema of an Xhyvefile, from the table of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vagrantish.config import params
from vagrantish.config.keys import Table, Tables, TextOr, Unbuilt
from vagrantish.config.names import NAME_MAX
from vagrantish.config.settings import MACHINE, MACHINE_ONLY, PROJECT_ONLY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagrantish.config.keys import Key

_SCALAR = {"type": ["string", "number", "boolean"]}


def json_schema() -> dict[str, Any]:
    """Draft-07, which editors know best. What cannot be said in it is left to `vx validate`."""
    schema = _table((*MACHINE, *PROJECT_ONLY), "The settings of one project.")
    machine = _table((*MACHINE, *MACHINE_ONLY), "One machine: settings that override those above.")
    schema["properties"]["params"] = _params()
    schema["properties"]["machines"] = {
        "description": "The machines of the project; without any there is one, `default`.",
        "type": "object",
        "propertyNames": {"pattern": f"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{NAME_MAX - 1}}}$"},
        "additionalProperties": machine,
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Xhyvefile",
        **schema,
    }


def _table(keys: Sequence[Key], about: str) -> dict[str, Any]:
    properties = {key.name: setting for key in keys if (setting := _setting(key))}
    schema: dict[str, Any] = {
        "description": about,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    required = [key.name for key in keys if key.required and not key.step]
    return {**schema, "required": required} if required else schema


def _setting(key: Key) -> dict[str, Any]:
    """Empty for what is not built yet."""
    kind = key.kind
    if isinstance(kind, Unbuilt):
        return {}
    if isinstance(kind, Table):
        return _table(kind.keys, key.help)
    if isinstance(kind, Tables):
        items = _table(kind.keys, key.help)
        return {"description": key.help, "type": "array", "items": items, "maxItems": kind.most}
    if isinstance(kind, TextOr):
        table = _table(kind.table.keys, key.help)
        return {"description": key.help, "anyOf": [kind.text.schema(), table]}
    schema = {"description": f"{key.help} ({kind.wants})", **kind.schema()}
    return schema if key.default is None else {**schema, "default": key.default}


def _params() -> dict[str, Any]:
    value = {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}
    declaration = {
        "type": "object",
        "properties": {
            "default": value,
            "type": {"enum": list(params.TYPES)},
            "help": {"type": "string"},
        },
        "additionalProperties": False,
    }
    return {
        "description": "Values for templates, which `--param NAME=VALUE` overrides.",
        "type": "object",
        "propertyNames": {"pattern": f"^{params.NAME.pattern}$"},
        "additionalProperties": {"anyOf": [*value["anyOf"], declaration]},
    }
