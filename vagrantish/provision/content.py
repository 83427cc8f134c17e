"""What a step is made of on the host: a script's bytes, a file's or folder's entries."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.errors import ProvisionError, VxError
from vagrantish.files import host_errors
from vagrantish.formats.tree import Entry, Kind, Tree, tree_of
from vagrantish.model import ShellStep

if TYPE_CHECKING:
    from vagrantish.model import FileStep
    from vagrantish.provision.base import Tools

_SCRIPT_MAX = 64 << 20
_TEMPLATE_MAX = 4 << 20


def local_script(step: ShellStep) -> bytes | None:
    """The script's bytes; None when they are behind a URL. Raises ProvisionError, HostError."""
    if step.inline is not None:
        return step.inline.encode("utf-8", "surrogateescape")
    if step.path is None:
        return None
    with host_errors(f"read {step.path}"):
        if not step.path.is_file():
            problem = "is not a file" if step.path.exists() else "does not exist"
            raise ProvisionError(
                f"step {step.name}: the script {step.path} {problem}",
                hint=f"Correct `path` of the step {step.name} in the Xhyvefile.",
            )
        if step.path.stat().st_size > _SCRIPT_MAX:
            raise ProvisionError(
                f"step {step.name}: {step.path} is larger than a script can be (64 MiB)",
                hint="Copy it with a `file` step and run it from there.",
            )
        return step.path.read_bytes()


def files(step: FileStep, tools: Tools) -> Tree:
    """What goes to the guest, rendered where the step says so, with the step's modes.

    Raises ProvisionError, HostError, and what rendering raises.
    """
    try:
        tree = tree_of(step.source)
    except VxError as error:
        raise ProvisionError(
            f"step {step.name}: {error.message}",
            hint=f"Correct `source` of the step {step.name} in the Xhyvefile.",
        ) from error
    entries = tuple(_with_mode(entry, step.mode) for entry in tree.entries)
    if step.template:
        entries = tuple(_rendered(entry, step, tools) for entry in entries)
    return replace(tree, entries=entries)


def data_of(entry: Entry) -> bytes:
    """The bytes of a file. Raises HostError."""
    if entry.data is not None:
        return entry.data
    assert entry.source is not None
    with host_errors(f"read {entry.source}"):
        return entry.source.read_bytes()


def _with_mode(entry: Entry, mode: int | None) -> Entry:
    """``mode`` is for files; who may read a folder may then also enter it."""
    if mode is None or entry.kind is Kind.LINK:
        return entry
    enter = (mode & 0o444) >> 2 if entry.kind is Kind.FOLDER else 0
    return replace(entry, mode=mode | enter)


def _rendered(entry: Entry, step: FileStep, tools: Tools) -> Entry:
    if entry.kind is not Kind.FILE:
        return entry
    if entry.size_bytes > _TEMPLATE_MAX:
        raise ProvisionError(f"step {step.name}: {entry.source} is too large for a template")
    try:
        text = data_of(entry).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProvisionError(
            f"step {step.name}: {entry.source} is no text, so it cannot be a template",
            hint="Copy it with a step of its own, without `template`.",
        ) from error
    try:
        data = tools.render(text, tools.context).encode("utf-8", "surrogateescape")
    except VxError as error:
        raise ProvisionError(
            f"step {step.name}: the template {entry.source}: {error.message}", hint=error.hint
        ) from error
    return replace(entry, data=data, size_bytes=len(data))
