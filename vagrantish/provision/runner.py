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
from vagrantish.provision.shell import FOLDER_PREFIX, run_script
from vagrantish.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vagrantish.events import Op
    from vagrantish.events import Step as ShownStep
    from vagrantish.model import Step
    from vagrantish.provision.base import PlannedStep, Remote, Tools
    from vagrantish.provision.memory import StepMemory

_LINE_MAX_BYTES = 4096
_SHOWN_A_SECOND = 400  # lines; more than that nobody reads, and showing them would slow the step
_TAIL_LINES = 12
_KILLED = (
    "A guest that runs out of memory kills programs: see `vx logs`, and give it more `memory`."
)
_STATUS_HINTS = {
    126: "The script's interpreter cannot be run: check its first line.",
    127: "Something it runs is not in the guest: check its first line, and install what it needs.",
    137: _KILLED,
    -1: _KILLED,
}
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

    The first step that fails, or is interrupted, ends it and is remembered as failed. Raises
    ProvisionError, HostError, Cancelled, and what fetching and rebooting raise.
    """
    mask = Mask(steps)
    outcomes = []
    for due in planned:
        name = due.step.name
        began = time.monotonic()
        with op.step(f"provision:{name}", f"Provisioning {name}") as shown:
            try:
                attempts = _run(due.step, remote, tools, mask, shown, op=op)
                if isinstance(due.step, ShellStep) and due.step.reboot:
                    remote = tools.reboot()
            except BaseException:
                seconds = time.monotonic() - began
                memory.record(name, fingerprint=due.fingerprint, status=FAILED, seconds=seconds)
                raise
            seconds = time.monotonic() - began
            memory.record(name, fingerprint=due.fingerprint, status=DONE, seconds=seconds)
            shown.outcome = f"done in {format_duration(seconds)} ({due.reason})"
        outcomes.append(StepOutcome(name=name, status=DONE, seconds=seconds, attempts=attempts))
    return tuple(outcomes)


def _run(step: Step, remote: Remote, tools: Tools, mask: Mask, shown: ShownStep, *, op: Op) -> int:
    """How many attempts it took."""
    if isinstance(step, FileStep):
        place(step, remote, tools, shown, op=op)
        return 1
    pause_s = _FIRST_PAUSE_S
    for attempt in range(1, step.retries + 2):
        try:
            _attempt(step, remote, tools, mask, shown, op=op)
        except _ConnectionLost:
            raise  # there is no way in for another attempt
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
    rate = Rate(shown.output)

    def show(line: bytes) -> None:
        if step.sensitive:
            return
        text = mask(printable(line))
        tail.append(text)
        rate(text)

    stdout, stderr = Lines(show, mask), Lines(show, mask)
    try:
        result = run_script(step, remote, tools, on_stdout=stdout, on_stderr=stderr, op=op)
    except CommandTimeout as error:
        stdout.end()
        stderr.end()
        raise ProvisionError(
            f"step {step.name} took longer than its timeout of {format_duration(step.timeout_s or 0)} "
            f"and was ended{_was_running(step, error, mask)}{_said(step, tail)}",
            hint="Give it a longer `timeout`, or look at what it waits for with `vx ssh`.",
        ) from error
    except SSHError as error:
        raise _ConnectionLost(
            f"step {step.name}: {error.message}",
            hint="A script that reboots the guest leaves that to vx: `reboot = true`. "
            "`vx logs` shows what the guest said last.",
        ) from error
    finally:
        stdout.end()
        stderr.end()
        rate.end()
    if result.exit_status != 0:
        how = (
            "was killed"
            if result.exit_status < 0
            else f"failed with exit status {result.exit_status}"
        )
        raise ProvisionError(
            f"step {step.name} {how}{_said(step, tail)}",
            hint=_hint(step, tail, result.exit_status),
        )


def _was_running(step: ShellStep, error: CommandTimeout, mask: Mask) -> str:
    """What the script waited for: the youngest process that is not the script itself."""
    theirs = [line for line in error.running if FOLDER_PREFIX not in line]
    if step.sensitive or not theirs:
        return ""
    return f" while it ran `{mask(theirs[-1])[:200]}`"


def _said(step: ShellStep, tail: deque[str]) -> str:
    if step.sensitive:
        return " (its output is hidden: the step is sensitive)"
    return "".join(f"\n    {line}" for line in tail)


def _hint(step: ShellStep, tail: deque[str], status: int) -> str:
    said = "\n".join(tail)
    if step.sudo and "sudo: not found" in said:
        return "The guest has no sudo; set sudo = false for this step."
    if step.sudo and any(line.startswith("sudo:") for line in tail):
        return (
            "The guest's user may not use sudo without a password; set sudo = false for this step."
        )
    return _STATUS_HINTS.get(status, f"Mend it, then run `vx provision --only {step.name}`.")


class _ConnectionLost(ProvisionError):
    """The guest cannot be asked any more."""


class Rate:
    """Lets so many lines a second through, says how many it did not, and shows the last of them."""

    def __init__(
        self, emit: Callable[[str], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._emit = emit
        self._clock = clock
        self._since = 0.0
        self._shown = 0
        self._left_out = 0
        self._last = ""

    def __call__(self, line: str) -> None:
        now = self._clock()
        if now - self._since >= 1:
            self.end()
            self._since, self._shown = now, 0
        if self._shown < _SHOWN_A_SECOND:
            self._shown += 1
            self._emit(line)
        else:
            self._left_out += 1
            self._last = line

    def end(self) -> None:
        if self._left_out > 1:
            self._emit(f"[{self._left_out - 1} lines left out: more than can be shown]")
        if self._left_out:
            self._emit(self._last)
            self._left_out = 0


class Lines:
    """Cuts a stream of chunks into lines; an endless line comes in pieces.

    Secrets are hidden before anything is cut: half of one would be hidden nowhere.
    """

    def __init__(self, emit: Callable[[bytes], None], mask: Mask | None = None) -> None:
        self._emit = emit
        self._mask = mask or Mask(())
        self._rest = b""

    def __call__(self, chunk: bytes) -> None:
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._emit_cut(self._mask.bytes(line))
        if len(rest) > _LINE_MAX_BYTES + self._mask.longest_bytes:
            rest = self._mask.bytes(rest)
            # The last bytes may be the first of a secret whose others are still to come.
            end = len(rest) - self._mask.longest_bytes
            for start in range(0, end, _LINE_MAX_BYTES):
                self._emit(rest[start : min(start + _LINE_MAX_BYTES, end)])
            rest = rest[max(0, end) :]
        self._rest = rest

    def end(self) -> None:
        if self._rest:
            self._emit_cut(self._mask.bytes(self._rest))
        self._rest = b""

    def _emit_cut(self, line: bytes) -> None:
        for start in range(0, max(1, len(line)), _LINE_MAX_BYTES):
            self._emit(line[start : start + _LINE_MAX_BYTES])
