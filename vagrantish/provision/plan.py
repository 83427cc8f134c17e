"""Which steps are due, and why. Reads the host's files, never the guest."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from vagrantish.errors import UsageError
from vagrantish.files import host_errors
from vagrantish.formats.tree import CHUNK, Kind
from vagrantish.model import RunWhen, ShellStep
from vagrantish.provision import content
from vagrantish.provision.base import PlannedStep, Reason, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from vagrantish.formats.tree import Entry
    from vagrantish.model import FileStep, Step
    from vagrantish.provision.base import Tools
    from vagrantish.provision.memory import StepMemory

_SCHEMA = 1  # part of every fingerprint: a new one makes every step count as changed


def check_only(names: Iterable[str], only: Sequence[str]) -> None:
    """Raises UsageError for a name in ``only`` that no step has."""
    known = list(names)
    for name in only:
        if name not in known:
            raise UsageError(f"there is no step {name}", hint=_suggestion(name, known))


def pending(
    steps: Sequence[Step],
    memory: StepMemory,
    *,
    only: Sequence[str] = (),
    force: bool = False,
    tools: Tools,
) -> tuple[PlannedStep, ...]:
    """The steps to run now, in order.

    ``only`` leaves out all others and is the one way to a step with run = "never"; ``force`` runs
    what is left whatever is remembered. Raises ProvisionError, HostError for what cannot be read.
    """
    planned = []
    for step in steps:
        if only and step.name not in only:
            continue
        reason, known = _reason(step, memory, named=step.name in only, force=force, tools=tools)
        if reason is not None:
            print_ = known or fingerprint(step, tools)
            planned.append(PlannedStep(step=step, reason=reason, fingerprint=print_))
    return tuple(planned)


def _reason(
    step: Step, memory: StepMemory, *, named: bool, force: bool, tools: Tools
) -> tuple[Reason | None, str]:
    """Why the step is due, None when it is not; and its fingerprint where that was needed."""
    past = memory.find(step.name)
    if step.run is RunWhen.NEVER and not named:
        return None, ""
    if force:
        return Reason.FORCED, ""
    if step.run is RunWhen.NEVER:
        return Reason.NAMED, ""
    if step.run is RunWhen.ALWAYS:
        return Reason.ALWAYS, ""
    if past is None:
        return Reason.NEW, ""
    if past.status is not Status.OK:
        return Reason.FAILED_BEFORE, ""
    if step.run is RunWhen.ONCE:
        return None, ""
    now = fingerprint(step, tools)
    return (None if now == past.fingerprint else Reason.CHANGED), now


def fingerprint(step: Step, tools: Tools) -> str:
    """A hash of all that makes a difference in the guest. Raises ProvisionError, HostError."""
    facts = _shell_facts(step) if isinstance(step, ShellStep) else _file_facts(step, tools)
    text = json.dumps({"schema": _SCHEMA, **facts}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _shell_facts(step: ShellStep) -> dict[str, Any]:
    script = content.local_script(step)
    return {
        "type": "shell",
        "script": None if script is None else hashlib.sha256(script).hexdigest(),
        "url": step.url,
        "digest": None if step.digest is None else str(step.digest),
        "args": list(step.args),
        "env": dict(step.env),
        "sudo": step.sudo,
        "reboot": step.reboot,
    }


def _file_facts(step: FileStep, tools: Tools) -> dict[str, Any]:
    entries = content.files(step, tools).entries
    return {
        "type": "file",
        "destination": step.destination,
        "name": step.source.name if step.destination.endswith("/") else "",
        "owner": step.owner,
        "entries": [
            [entry.name, entry.kind.value, entry.mode, entry.target, _content_hash(entry)]
            for entry in entries
        ],
    }


def _content_hash(entry: Entry) -> str:
    digest = hashlib.sha256()
    if entry.data is not None:
        digest.update(entry.data)
    elif entry.kind is Kind.FILE and entry.source is not None:
        with host_errors(f"read {entry.source}"), entry.source.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _suggestion(name: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    if close := get_close_matches(name, known, 1):
        return f"Did you mean {close[0]}?"
    return f"The steps are: {', '.join(known)}." if known else "The Xhyvefile has no steps."
