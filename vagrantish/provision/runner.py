"""Runs steps in order and remembers each as soon as its outcome is known."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vagrantish.errors import ProvisionError
from vagrantish.model import ShellStep
from vagrantish.provision.base import Status, StepOutcome
from vagrantish.provision.file import run_file
from vagrantish.provision.output import masker_of
from vagrantish.provision.shell import run_shell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagrantish.events import Op
    from vagrantish.model import Step
    from vagrantish.provision.base import PlannedStep, Remote, Tools
    from vagrantish.provision.memory import StepMemory

# proc(5): a new one at every boot of a Linux kernel.
_BOOT_ID = "cat /proc/sys/kernel/random/boot_id 2>/dev/null"
_LOOK_S = 30.0


def run_steps(
    planned: Sequence[PlannedStep],
    steps: Sequence[Step],
    remote: Remote,
    tools: Tools,
    *,
    memory: StepMemory,
    op: Op,
) -> tuple[StepOutcome, ...]:
    """Run ``planned``; the first that fails ends it, and is remembered as failed.

    ``steps`` are all of the machine's: what any sensitive one is given is hidden in the output of
    each. Raises ProvisionError, HostError, Cancelled, and what fetching and rebooting raise.
    """
    masker = masker_of(steps)
    outcomes = []
    for plan in planned:
        step, began = plan.step, time.monotonic()
        status = Status.FAILED
        try:
            with op.step(f"provision:{step.name}", f"Provisioning {step.name}") as visible:
                if isinstance(step, ShellStep):
                    run_shell(step, remote, tools, masker=masker, visible=visible)
                    if step.reboot:
                        remote = _reboot(step, remote, tools, op)
                else:
                    run_file(step, remote, tools, visible=visible)
                visible.outcome = plan.reason.value
            status = Status.OK
        finally:
            seconds = time.monotonic() - began
            memory.record(step.name, plan.fingerprint, status, seconds=round(seconds, 3))
        outcomes.append(
            StepOutcome(name=step.name, status=status, reason=plan.reason, seconds=seconds)
        )
    return tuple(outcomes)


def _reboot(step: ShellStep, remote: Remote, tools: Tools, op: Op) -> Remote:
    """Reboot, and prove that it happened. Raises ProvisionError and what rebooting raises."""
    before = _boot_id(remote, op)
    fresh = tools.reboot()
    after = _boot_id(fresh, op)
    if before and before == after:
        raise ProvisionError(
            f"step {step.name}: the guest was told to reboot and did not",
            hint="See `vx logs`; `vx reload` restarts the machine from outside.",
        )
    return fresh


def _boot_id(remote: Remote, op: Op) -> bytes:
    """Empty where the guest has no such thing."""
    return remote.exec(_BOOT_ID, timeout_s=_LOOK_S, group=False, op=op).stdout.strip()
