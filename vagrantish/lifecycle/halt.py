"""``vx halt`` and ``vx destroy``."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vagrantish.errors import SSHError
from vagrantish.events import Cancel
from vagrantish.files import sweep
from vagrantish.lifecycle import boot, connect, look
from vagrantish.provider.base import AsksForRoot

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.events import Op
    from vagrantish.lifecycle.look import View
    from vagrantish.lifecycle.services import Services
    from vagrantish.paths import MachineLayout
    from vagrantish.provider.base import Provider, StopOutcome

_ASK_TIMEOUT_S = 10


@dataclass(frozen=True, kw_only=True)
class HaltResult:
    machine: str
    outcome: StopOutcome | None  # None: there is no such machine yet
    seconds: float


@dataclass(frozen=True, kw_only=True)
class DestroyResult:
    machine: str
    existed: bool


def halt(
    services: Services,
    project_root: Path,
    name: str,
    *,
    grace_s: float,
    machine_id: str | None = None,
    op: Op,
) -> HaltResult:
    """Power the guest down; its disk stays. ``grace_s`` 0 cuts the power.

    ``machine_id`` means that very machine, whichever the project now has by the name.
    """
    began = time.monotonic()
    with services.machines.lock(project_root, name, op=op):
        view = _look(services, project_root, name, machine_id)
        if view.record is None:
            return HaltResult(machine=name, outcome=None, seconds=0)
        layout = services.machines.layout(view.record)
        provider = services.provider(view.record.provider)
        _authorize(provider, layout, op=op)
        if view.process is None:
            # Sweeps what a killed hypervisor left lying about.
            outcome = provider.stop(layout, grace_s=0, ask_guest=None, op=op)
        else:
            with op.step("halt", "Halting") as step:
                outcome = provider.stop(
                    layout,
                    grace_s=grace_s,
                    ask_guest=lambda: _ask_guest(services, view, op),
                    op=op,
                )
                step.outcome = outcome.value
        boot.drop_forwards(layout, op=op)
        return HaltResult(machine=name, outcome=outcome, seconds=time.monotonic() - began)


def destroy(
    services: Services,
    project_root: Path,
    name: str,
    *,
    machine_id: str | None = None,
    op: Op,
) -> DestroyResult:
    """Cut the power and remove the machine with its disk. Safe to repeat; ``machine_id`` as above."""
    with services.machines.lock(project_root, name, op=op):
        view = _look(services, project_root, name, machine_id)
        if view.record is None:
            sweep(services.home.tmp)  # a disk that a killed vx was just removing
            return DestroyResult(machine=name, existed=False)
        provider = services.provider(view.record.provider)
        _authorize(provider, services.machines.layout(view.record), op=op)
        with op.step("destroy", "Destroying"):
            boot.stop_now(provider, services.machines.layout(view.record), op=op)
            services.machines.delete(view.record, project_root)
        return DestroyResult(machine=name, existed=True)


def _authorize(provider: Provider, layout: MachineLayout, *, op: Op) -> None:
    if isinstance(provider, AsksForRoot):
        provider.authorize_stop(layout, op=op)


def _look(services: Services, project_root: Path, name: str, machine_id: str | None) -> View:
    if machine_id is None:
        return look.look(services.home, project_root, name)
    record = services.machines.by_id(machine_id)
    if record is None:
        return look.View(name, look.ABSENT, None, None)
    return look.look_at(services.home, record)


def _ask_guest(services: Services, view: View, op: Op) -> None:
    """Poweroff over ssh, for a guest that ignores its power button. Raises SSHError, MachineError."""
    from vagrantish.ssh.client import connect as ssh_connect

    calm = replace(op, cancel=Cancel())
    target = connect.target(services.home, view)
    with ssh_connect(target, op=calm, timeout_s=_ASK_TIMEOUT_S) as client:
        # What powers off often hangs up before it answers.
        with suppress(SSHError):
            client.exec(
                "if [ $(id -u) = 0 ]; then poweroff; else sudo -n poweroff; fi",
                timeout_s=_ASK_TIMEOUT_S,
                op=calm,
            )
