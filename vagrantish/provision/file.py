"""Puts a file or a folder into the guest."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from vagrantish.errors import ProvisionError, TransferError
from vagrantish.formats.placement import Into, Placement, place_command, refusal
from vagrantish.formats.tree import Kind, tar_stream
from vagrantish.provision import source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.events import Op
    from vagrantish.formats.tree import Entry
    from vagrantish.model import FileStep
    from vagrantish.provision.base import Remote, Tools


def place(step: FileStep, remote: Remote, tools: Tools, *, op: Op) -> None:
    """Copy the source to its destination. Raises ProvisionError, SSHError, Cancelled."""
    content = source.rendered(step, tools) if step.template else None
    entries = source.entries(step)
    kind, check, stdin = _package(step, entries, content)
    placement = Placement(
        kind=kind,
        destination=step.destination,
        name=step.source.name,
        check=check,
        mode=entries[0].mode,
        owner=step.owner or "",
        into=Into.SLASH,
        parents=True,
        elevate=True,
    )
    try:
        result = remote.exec(place_command(placement), stdin=stdin, op=op)
    except TransferError as error:
        raise ProvisionError(f"step {step.name}: {error.message}", hint=error.hint) from error
    if result.exit_status != 0:
        raise ProvisionError(
            f"step {step.name}: {step.source.name} could not be put at {step.destination}: "
            f"{refusal(result.stderr)}",
            hint="Check `destination` and `owner` in the Xhyvefile; `vx ssh` shows the guest's side.",
        )


def _package(
    step: FileStep, entries: tuple[Entry, ...], content: bytes | None
) -> tuple[str, str, Iterator[bytes]]:
    """(kind, check, bytes) as a Placement wants them."""
    first = entries[0]
    if content is not None:
        return "file", str(len(content)), iter([content])
    if first.kind is Kind.FILE:
        return "file", str(first.size_bytes), source.chunks_of(first, step)
    end = f".vx-end-{secrets.token_hex(8)}"
    return "tree", end, tar_stream(entries, end=end)
