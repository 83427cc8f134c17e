"""What a file step carries over: entries on the host, or the text of a template."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.errors import ProvisionError, VxError
from vagrantish.formats.tree import Kind, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.formats.tree import Entry
    from vagrantish.model import FileStep
    from vagrantish.provision.base import Tools

TEMPLATE_MAX_BYTES = 8 << 20


def entries(step: FileStep) -> tuple[Entry, ...]:
    """The source and all below it, with the modes they shall have. Raises ProvisionError.

    What cannot be carried over (a device, a link out of the folder) is refused rather than left
    out: a guest that lacks a file nobody mentioned is found out too late.
    """
    try:
        tree = tree_of(step.source)
    except VxError as error:
        raise ProvisionError(f"step {step.name}: {error.message}", hint=error.hint) from error
    if tree.left_out:
        raise ProvisionError(
            f"step {step.name}: in {step.source}, {tree.left_out[0]}",
            hint="Remove it, or make it a relative link inside the folder.",
        )
    return tuple(_with_mode(entry, step.mode) for entry in tree.entries)


def rendered(step: FileStep, tools: Tools) -> bytes:
    """The source's text with its template filled in. Raises ProvisionError, ConfigError."""
    try:
        with step.source.open("rb") as file:
            raw = file.read(TEMPLATE_MAX_BYTES + 1)
    except OSError as error:
        raise ProvisionError(
            f"step {step.name}: cannot read {step.source}: {error.strerror}",
            hint="A template is a single file: check `source` in the Xhyvefile.",
        ) from error
    if len(raw) > TEMPLATE_MAX_BYTES:
        raise ProvisionError(
            f"step {step.name}: {step.source} is too big for a template",
            hint="Set template = false to copy it as it is.",
        )
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ProvisionError(
            f"step {step.name}: {step.source} is not UTF-8 text, so it cannot be a template",
            hint="Set template = false to copy it as it is.",
        ) from error
    return tools.render(text, tools.context).encode()


def chunks_of(entry: Entry, step: FileStep) -> Iterator[bytes]:
    """A file's bytes. Raises ProvisionError."""
    if entry.source is None:
        raise ProvisionError(f"step {step.name}: {step.source} is not a file")
    try:
        with entry.source.open("rb") as file:
            while chunk := file.read(1 << 18):
                yield chunk
    except OSError as error:
        raise ProvisionError(
            f"step {step.name}: cannot read {entry.source}: {error.strerror}"
        ) from error


def _with_mode(entry: Entry, wanted: int | None) -> Entry:
    """``wanted`` is the mode of files; a folder can also be entered by those who may read it."""
    if wanted is None or entry.kind is Kind.LINK:
        return entry
    mode = wanted | (wanted & 0o444) >> 2 if entry.kind is Kind.FOLDER else wanted
    return replace(entry, mode=mode)
