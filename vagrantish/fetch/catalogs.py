"""Reads the file names and digests out of catalogs that publishers keep as JSON or YAML."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

# simplestreams; Fedora; CoreOS streams; Alpine and others.
_NAME_KEYS = ("path", "link", "location", "file", "name", "filename", "url")
_DEBIAN_DIGEST = "cloud.debian.org/digest"
_YAML_FIELD = re.compile(r"""\s*(?:-\s+)?(file|sha256|sha512):\s*["']?([^"'\s]+)["']?\s*""")


def entries_of_json(text: str) -> Iterator[tuple[str, str, str]]:
    """File name, algorithm, lower-case hex: of every object, however deep, that has both.

    Raises nothing: what is no JSON has no entries.
    """
    try:
        pending: list[Any] = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            pending.extend(node.values())
            yield from _entries_of(node)


def _entries_of(node: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    names = [_name(node[key]) for key in _NAME_KEYS if isinstance(node.get(key), str)]
    for algorithm in ("sha256", "sha512"):
        value = node.get(algorithm)
        if isinstance(value, str):
            for name in dict.fromkeys(names):
                yield name, algorithm, value.lower()
    yield from _debian(node)


def _debian(node: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Debian's uploads: the name is in one half of the object, the digest in the other."""
    data, metadata = node.get("data"), node.get("metadata")
    if not isinstance(data, dict) or not isinstance(metadata, dict):
        return
    annotations, ref = metadata.get("annotations"), data.get("ref")
    if not isinstance(annotations, dict) or not isinstance(ref, str):
        return
    digest = annotations.get(_DEBIAN_DIGEST)
    algorithm, _, value = digest.partition(":") if isinstance(digest, str) else ("", "", "")
    if algorithm in ("sha256", "sha512"):
        yield ref, algorithm, _hex(value)


def _hex(value: str) -> str:
    """Debian leaves the padding of its base64 away."""
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True).hex()
    except (binascii.Error, ValueError):
        return ""


def _name(value: str) -> str:
    """A URL names the last part of its path."""
    if "://" not in value:
        return value
    try:
        return unquote(urlsplit(value).path)
    except ValueError:
        return ""


def entries_of_yaml(text: str) -> Iterator[tuple[str, str, str]]:
    """The same of a flat YAML list of maps (Alpine's latest-releases.yaml), read line by line."""
    record: dict[str, str] = {}
    for line in [*text.splitlines(), "-"]:
        if line.startswith("-"):
            for algorithm in ("sha256", "sha512"):
                if "file" in record and algorithm in record:
                    yield record["file"], algorithm, record[algorithm].lower()
            record = {}
        if field := _YAML_FIELD.fullmatch(line):
            record[field[1]] = field[2]
