"""Values as TOML a person can read, and tomli too."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def document(table: Mapping[str, Any], name: Sequence[str] = ()) -> str:
    """``table`` as a document, or as the table ``[name]`` of one. What is None is left out."""
    return "\n".join(_lines(table, tuple(name))).strip("\n")


def value(given: Any) -> str:
    """One value as it stands right of an ``=``."""
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, int | float):
        return repr(given)
    if isinstance(given, (list, tuple)):
        return f"[{', '.join(value(item) for item in given)}]"
    if isinstance(given, dict):
        inner = ", ".join(f"{_key(k)} = {value(v)}" for k, v in given.items() if v is not None)
        return f"{{ {inner} }}" if inner else "{}"
    return _string(str(given))


def _lines(table: Mapping[str, Any], name: tuple[str, ...]) -> Iterator[str]:
    plain = {k: v for k, v in table.items() if v is not None and not _has_header(v)}
    below = {k: v for k, v in table.items() if _has_header(v)}
    if name and (plain or not below):
        yield ""
        yield f"[{_dotted(name)}]"
    for key, item in plain.items():
        yield f"{_key(key)} = {value(item)}"
    for key, item in below.items():
        if isinstance(item, dict):
            yield from _lines(item, (*name, key))
            continue
        for entry in item:
            yield ""
            yield f"[[{_dotted((*name, key))}]]"
            for inner, content in entry.items():
                if content is not None:
                    yield f"{_key(inner)} = {value(content)}"


def _has_header(item: Any) -> bool:
    """Whether it is shown as ``[table]`` or ``[[list of tables]]``."""
    if isinstance(item, (list, tuple)):
        return bool(item) and all(isinstance(entry, dict) for entry in item)
    return isinstance(item, dict) and bool(item)


def _dotted(name: Sequence[str]) -> str:
    return ".".join(map(_key, name))


def _key(key: str) -> str:
    return key if key and _BARE.issuperset(key) else _string(key)


def _string(text: str) -> str:
    # A JSON string is a TOML string, but for DEL and for what UTF-8 cannot carry.
    safe = text.encode("utf-8", "replace").decode()
    return json.dumps(safe, ensure_ascii=False).replace("\x7f", "\\u007f")
