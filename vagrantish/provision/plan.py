"""Which steps are due, and why."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from vagrantish.errors import UsageError
from vagrantish.model import RunWhen
from vagrantish.provision.base import PlannedStep
from vagrantish.provision.fingerprint import fingerprint
from vagrantish.provision.memory import DONE, FAILED

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from vagrantish.model import Step
    from vagrantish.provision.base import Tools
    from vagrantish.provision.memory import StepMemory


def check_only(names: Collection[str], only: Sequence[str]) -> None:
    """Raises UsageError for a step that is nowhere among ``names``."""
    for name in only:
        if name not in names:
            close = get_close_matches(name, list(names), n=1)
            hint = f"Did you mean {close[0]}?" if close else _there_are(names)
            raise UsageError(f"there is no provisioning step {name}", hint=hint)


def pending(
    steps: Sequence[Step],
    memory: StepMemory,
    *,
    only: Sequence[str] = (),
    force: bool = False,
    tools: Tools,
) -> tuple[PlannedStep, ...]:
    """The steps that would run now, in order. Reads their files; touches no guest.

    Raises ProvisionError, ConfigError.
    """
    planned = []
    for step in steps:
        if only and step.name not in only:
            continue
        status, named = memory.status(step.name), step.name in only
        # A step that would not run even if it had changed owes nobody its files.
        if due(step.run, status, changed=True, named=named, force=force) is None:
            continue
        now = fingerprint(step, tools)
        changed = memory.fingerprint(step.name) != now
        reason = due(step.run, status, changed=changed, named=named, force=force)
        if reason is not None:
            planned.append(PlannedStep(step=step, reason=reason, fingerprint=now))
    return tuple(planned)


def due(run: RunWhen, status: str | None, *, changed: bool, named: bool, force: bool) -> str | None:
    """Why a step runs now; None when it does not. Pure."""
    if run is RunWhen.NEVER:
        return "asked for" if named else None
    reasons = (
        (force, "forced"),
        (run is RunWhen.ALWAYS, "always"),
        (status == FAILED, "failed before"),
        (status != DONE, "new"),
        (run is RunWhen.CHANGED and changed, "changed"),
    )
    return next((reason for holds, reason in reasons if holds), None)


def _there_are(names: Collection[str]) -> str:
    if not names:
        return "The Xhyvefile has no [[provision]] steps."
    return f"The Xhyvefile has {', '.join(names)}."
