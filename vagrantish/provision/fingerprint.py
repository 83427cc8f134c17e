"""What a step is, as one hash over all that matters to it."""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import file_digest, sha256
from typing import TYPE_CHECKING, Any

from vagrantish.errors import ProvisionError
from vagrantish.model import FileStep, ShellStep
from vagrantish.provision import source

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.formats.tree import Entry
    from vagrantish.model import Step
    from vagrantish.provision.base import Tools

_SHELL_IRRELEVANT = ("name", "run", "timeout_s", "retries", "sensitive", "path")
_FILE_IRRELEVANT = ("name", "run", "source")


def fingerprint(step: Step, tools: Tools) -> str:
    """Reads the step's files and renders its template. Raises ProvisionError, ConfigError."""
    if isinstance(step, ShellStep):
        return _of_shell(step)
    return _of_file(step, tools)


def _of_shell(step: ShellStep) -> str:
    fields = _fields(step, _SHELL_IRRELEVANT)
    if step.path is not None:
        fields["content"] = _content(step.path, step.name)
    return _hash(fields)


def _of_file(step: FileStep, tools: Tools) -> str:
    fields = _fields(step, _FILE_IRRELEVANT)
    if step.destination.endswith("/"):
        fields["name"] = step.source.name
    fields["entries"] = [
        (entry.name, entry.kind, entry.mode, entry.target, _content_of(entry, step))
        for entry in source.entries(step, tools)
    ]
    return _hash(fields)


def _fields(step: Step, irrelevant: tuple[str, ...]) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(step).items() if name not in irrelevant}
    return {"type": type(step).__name__, **fields}


def _hash(fields: dict[str, Any]) -> str:
    text = json.dumps(fields, sort_keys=True, default=str)
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _content_of(entry: Entry, step: FileStep) -> str:
    """Of a template the rendered text counts, not what it is made from."""
    if entry.data is not None:
        return sha256(entry.data).hexdigest()
    if entry.source is None:
        return ""
    return _content(entry.source, step.name)


def _content(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ProvisionError(f"step {name}: cannot read {path}: {error.strerror}") from error
