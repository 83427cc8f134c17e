"""Runs the steps that are due, one after the other, and remembers what became of each."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from vagrantish.errors import CommandTimeout, ProvisionError, SSHError
from vagrantish.formats.guesttext import printable
from vagrantish.model import FileStep, ShellStep
from vagrantish.provision.base import StepOutcome
from vagrantish.provision.file import place
from vagrantish.provision.masking import Mask
from vagrantish.provision.memory import DONE, FAILED
from vagrantish.provision.shell import run_script
from vagrantish.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vagrantish.events import Op
    from vagrantish.events import Step as ShownStep
    from vagrantish.model import Step
    from vagrantish.provision.base import PlannedStep, Remote, Tools
    from vagrantish.provision.memory import StepMemory

_LINE_MAX_BYTES = 4096
_TAIL_LINES = 12
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0


def run_steps(
    planned: Sequence[PlannedStep],
    steps: Sequence[Step],
    remote: Remote,
    tools: Tools,
    *,
    memory: StepMemory,
    op: Op,
) -> tuple[StepOutcome, ...]:
    """``steps`` are all the machine has: their secrets are hidden whichever step prints them.

    Raises ProvisionError at the first step that fails; it is remembered as failed.
    """
    mask = Mask(steps)
    outcomes = []
    for due in planned:
        name = due.step.name
        began = time.monotonic()
        with op.step(f"provision:{name}", f"Provisioning {name}") as shown:
            try:
                attempts = _run(due.step, remote, tools, mask, shown, op=op)
            except (ProvisionError, SSHError):
                seconds = time.monotonic() - began
                memory.record(name, fingerprint=due.fingerprint, status=FAILED, seconds=seconds)
                raise
            if isinstance(due.step, ShellStep) and due.step.reboot:
                remote = tools.reboot()
            seconds = time.monotonic() - began
            memory.record(name, fingerprint=due.fingerprint, status=DONE, seconds=seconds)
            shown.outcome = f"{due.reason}, done in {format_duration(seconds)}"
        outcomes.append(StepOutcome(name=name, status=DONE, seconds=seconds, attempts=attempts))
    return tuple(outcomes)


def _run(step: Step, remote: Remote, tools: Tools, mask: Mask, shown: ShownStep, *, op: Op) -> int:
    """How many attempts it took."""
    if isinstance(step, FileStep):
        place(step, remote, tools, op=op)
        return 1
    pause_s = _FIRST_PAUSE_S
    for attempt in range(1, step.retries + 2):
        try:
            _attempt(step, remote, tools, mask, shown, op=op)
        except ProvisionError as error:
            if attempt > step.retries:
                raise
            op.note(f"{error.message.splitlines()[0]}; trying again in {pause_s:.0f} s")
            op.cancel.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        else:
            return attempt
    raise AssertionError("the last attempt returns or raises")


def _attempt(
    step: ShellStep, remote: Remote, tools: Tools, mask: Mask, shown: ShownStep, *, op: Op
) -> None:
    tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def show(line: bytes) -> None:
        if step.sensitive:
            return
        text = mask(printable(line))
        tail.append(text)
        shown.output(text)

    stdout, stderr = Lines(show), Lines(show)
    try:
        result = run_script(step, remote, tools, on_stdout=stdout, on_stderr=stderr, op=op)
    except CommandTimeout as error:
        stdout.end()
        stderr.end()
        raise ProvisionError(
            f"step {step.name} took longer than its timeout of {format_duration(step.timeout_s or 0)} "
            f"and was ended{_said(step, tail)}",
            hint="Give it a longer `timeout`, or look at what it waits for with `vx ssh`.",
        ) from error
    stdout.end()
    stderr.end()
    if result.exit_status != 0:
        raise ProvisionError(
            f"step {step.name} failed with exit status {result.exit_status}{_said(step, tail)}",
            hint=_hint(step, tail),
        )


def _said(step: ShellStep, tail: deque[str]) -> str:
    if step.sensitive:
        return " (its output is hidden: the step is sensitive)"
    return "".join(f"\n    {line}" for line in tail)


def _hint(step: ShellStep, tail: deque[str]) -> str:
    if step.sudo and any(line.startswith("sudo:") for line in tail):
        return (
            "The guest's user may not use sudo without a password; set sudo = false for this step."
        )
    return f"Mend it, then run `vx provision --only {step.name}`."


class Lines:
    """Cuts a stream of chunks into lines; an endless line comes in pieces."""

    def __init__(self, emit: Callable[[bytes], None]) -> None:
        self._emit = emit
        self._rest = b""

    def __call__(self, chunk: bytes) -> None:
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._emit_cut(line)
        while len(rest) > _LINE_MAX_BYTES:
            self._emit(rest[:_LINE_MAX_BYTES])
            rest = rest[_LINE_MAX_BYTES:]
        self._rest = rest

    def end(self) -> None:
        if self._rest:
            self._emit(self._rest)
        self._rest = b""

    def _emit_cut(self, line: bytes) -> None:
        for start in range(0, max(1, len(line)), _LINE_MAX_BYTES):
            self._emit(line[start : start + _LINE_MAX_BYTES])
