"""File steps: a file or a folder of the host, put in its place in the guest."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from vagrantish.errors import ProvisionError, SSHError
from vagrantish.files import host_errors
from vagrantish.formats.placement import Into, Placement, place_command, refusal
from vagrantish.formats.tree import CHUNK, Kind, tar_stream
from vagrantish.provision import content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.events import Step as Visible
    from vagrantish.formats.tree import Entry
    from vagrantish.model import FileStep
    from vagrantish.provision.base import Remote, Tools


def run_file(step: FileStep, remote: Remote, tools: Tools, *, visible: Visible) -> None:
    """Copy the step's source: a file whole or not at all, a folder after all of it arrived.

    Raises ProvisionError, HostError, Cancelled.
    """
    tree = content.files(step, tools)
    for left_out in tree.left_out:
        visible.op.warn(f"Step {step.name} left out: {left_out}")
    root, total = tree.entries[0], tree.size_bytes
    folder = root.kind is Kind.FOLDER
    end = f".vx-end-{secrets.token_hex(8)}"
    placement = Placement(
        kind="tree" if folder else "file",
        destination=step.destination,
        name=step.source.name,
        check=end if folder else str(root.size_bytes),
        mode=root.mode,
        owner=step.owner or "",
        into=Into.SLASH,
        parents=True,
        elevate=True,
    )
    stdin = (
        tar_stream(tree.entries, end=end, sent=lambda done: visible.progress(done, total))
        if folder
        else _chunks(root, visible)
    )
    try:
        result = remote.exec(place_command(placement), stdin=stdin, op=visible.op)
    except SSHError as error:
        raise ProvisionError(
            f"step {step.name}: the connection to the guest was lost while it copied: "
            f"{error.message}",
            hint="Run `vx provision` to go on.",
        ) from error
    if result.exit_status:
        raise ProvisionError(
            f"step {step.name}: {step.source.name} could not be copied to {step.destination}: "
            f"{refusal(result.stderr)}",
            hint=f"Check `destination`, `owner` and `mode` of the step {step.name}.",
        )


def _chunks(entry: Entry, visible: Visible) -> Iterator[bytes]:
    """A file's bytes, as many as were there when it was looked at; the guest counts them."""
    total, done = entry.size_bytes, 0
    if entry.data is not None:
        yield entry.data
        visible.progress(total, total)
        return
    assert entry.source is not None
    with host_errors(f"read {entry.source}"), entry.source.open("rb") as file:
        while done < total and (chunk := file.read(min(CHUNK, total - done))):
            yield chunk
            done += len(chunk)
            visible.progress(done, total)
