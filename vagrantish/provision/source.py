"""What a file step carries over: entries on the host, templates filled in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.errors import ProvisionError, VxError
from vagrantish.formats.tree import CHUNK, Kind, tree_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vagrantish.formats.tree import Entry
    from vagrantish.model import FileStep
    from vagrantish.provision.base import Tools

TEMPLATE_MAX_BYTES = 8 << 20


def entries(step: FileStep, tools: Tools) -> tuple[Entry, ...]:
    """The source and all below it, with the modes they shall have, templates filled in.

    What cannot be carried over (a device, a link out of the folder) is refused rather than left
    out: a guest that lacks a file nobody mentioned is found out too late. Raises ProvisionError
    and what rendering raises.
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
    found = tuple(_with_mode(entry, step.mode) for entry in tree.entries)
    return tuple(_rendered(entry, step, tools) for entry in found) if step.template else found


def _rendered(entry: Entry, step: FileStep, tools: Tools) -> Entry:
    if entry.source is None:
        return entry
    try:
        with entry.source.open("rb") as file:
            raw = file.read(TEMPLATE_MAX_BYTES + 1)
    except OSError as error:
        raise ProvisionError(
            f"step {step.name}: cannot read {entry.source}: {error.strerror}",
            hint="Check `source` in the Xhyvefile.",
        ) from error
    if len(raw) > TEMPLATE_MAX_BYTES:
        raise ProvisionError(
            f"step {step.name}: {entry.source} is too big for a template",
            hint="Copy it with a step of its own, without `template`.",
        )
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ProvisionError(
            f"step {step.name}: {entry.source} is not UTF-8 text, so it cannot be a template",
            hint="Copy it with a step of its own, without `template`.",
        ) from error
    try:
        data = tools.render(text, tools.context).encode()
    except VxError as error:
        raise ProvisionError(
            f"step {step.name}: the template {entry.source}: {error.message}", hint=error.hint
        ) from error
    return replace(entry, data=data, size_bytes=len(data))


def chunks_of(entry: Entry, step: FileStep, sent: Callable[[int], object]) -> Iterator[bytes]:
    """A file's bytes, as many as it had when it was looked at: the guest counts them.

    ``sent`` hears how many have gone. Raises ProvisionError.
    """
    if entry.data is not None:
        yield entry.data
        sent(len(entry.data))
        return
    if entry.source is None:
        raise ProvisionError(f"step {step.name}: {step.source} is not a file")
    try:
        with entry.source.open("rb") as file:
            done = 0
            while chunk := file.read(min(CHUNK, entry.size_bytes - done)):
                yield chunk
                done += len(chunk)
                sent(done)
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
