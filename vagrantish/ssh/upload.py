"""Files into a guest: staged there first, then put in place by the guest itself."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Protocol

from vagrantish.errors import TransferError
from vagrantish.files import host_errors
from vagrantish.formats.placement import Placement, place_command, refusal
from vagrantish.formats.tree import Kind, tar_stream, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.events import Op, Step
    from vagrantish.model import ExecResult

_CHUNK = 1 << 18


class Exec(Protocol):
    def __call__(self, command: str, /, *, stdin: Iterator[bytes], op: Op) -> ExecResult: ...


def file(run: Exec, local: Path, remote: str, mode: int | None, op: Op) -> None:
    entry = tree_of(local).entries[0]
    if entry.kind is not Kind.FILE:
        raise TransferError(f"{local} is not a file")
    placement = Placement(
        kind="file",
        destination=remote,
        name=local.absolute().name,
        check=str(entry.size_bytes),
        mode=entry.mode if mode is None else mode,
    )
    with op.step("copy", f"Copying {local.name} to the guest") as step:
        _place(run, placement, _chunks(local, entry.size_bytes, step), op)


def tree(run: Exec, local: Path, remote: str, op: Op) -> None:
    found = tree_of(local)
    if found.entries[0].kind is not Kind.FOLDER:
        raise TransferError(f"{local} is not a folder")
    for left_out in found.left_out:
        op.warn(f"Left out: {left_out}")
    name, end = local.absolute().resolve().name, f".vx-end-{secrets.token_hex(8)}"
    placement = Placement(
        kind="tree", destination=remote, name=name, check=end, mode=found.entries[0].mode
    )
    total = found.size_bytes
    with op.step("copy", f"Copying {name} to the guest") as step:
        stream = tar_stream(found.entries, end=end, sent=lambda done: step.progress(done, total))
        _place(run, placement, stream, op)


def _place(run: Exec, placement: Placement, stdin: Iterator[bytes], op: Op) -> None:
    result = run(place_command(placement), stdin=stdin, op=op)
    if result.exit_status:
        raise TransferError(
            f"{placement.name} was not copied to the guest: {refusal(result.stderr)}",
            hint="The ssh user must be able to write there; "
            "a `file` provisioning step can write anywhere.",
        )


def _chunks(path: Path, size: int, step: Step) -> Iterator[bytes]:
    """The first ``size`` bytes of a file; the guest counts them."""
    done = 0
    with host_errors(f"read {path}"), path.open("rb") as file:
        while done < size and (chunk := file.read(min(_CHUNK, size - done))):
            yield chunk
            done += len(chunk)
            step.progress(done, size)
