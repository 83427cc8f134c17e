"""Puts a file or a folder into the guest."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from vagrantish.errors import ProvisionError, SSHError, TransferError
from vagrantish.formats.placement import Into, Placement, place_command, refusal
from vagrantish.formats.tree import Kind, tar_stream
from vagrantish.provision import source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.events import Op
    from vagrantish.events import Step as ShownStep
    from vagrantish.formats.tree import Entry
    from vagrantish.model import FileStep
    from vagrantish.provision.base import Remote, Tools


def place(step: FileStep, remote: Remote, tools: Tools, shown: ShownStep, *, op: Op) -> None:
    """Copy the source to its destination: a file whole or not at all, a folder once all arrived.

    Raises ProvisionError, HostError, Cancelled.
    """
    entries = source.entries(step, tools)
    kind, check, stdin = _package(step, entries, shown)
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
    except (SSHError, TransferError) as error:
        raise ProvisionError(f"step {step.name}: {error.message}", hint=error.hint) from error
    if result.exit_status != 0:
        raise ProvisionError(
            f"step {step.name}: {step.source.name} could not be put at {step.destination}: "
            f"{refusal(result.stderr)}",
            hint="Check `destination` and `owner` in the Xhyvefile; `vx ssh` shows the guest's side.",
        )


def _package(
    step: FileStep, entries: tuple[Entry, ...], shown: ShownStep
) -> tuple[str, str, Iterator[bytes]]:
    """(kind, check, bytes) as a Placement wants them."""
    first, total = entries[0], sum(entry.size_bytes for entry in entries)
    if first.kind is Kind.FILE:
        return "file", str(total), source.chunks_of(first, step, lambda n: shown.progress(n, total))
    end = f".vx-end-{secrets.token_hex(8)}"
    stream = tar_stream(entries, end=end, sent=lambda done: shown.progress(done, total))
    return "tree", end, stream
