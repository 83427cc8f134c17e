"""Runs the steps that are due in machines that run; connects only when some are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vagrantish.errors import BootError, ProvisionError, SSHError
from vagrantish.lifecycle import boot, connect, look, parallel, scripts
from vagrantish.provider import running
from vagrantish.provision.base import Tools
from vagrantish.provision.memory import StepMemory
from vagrantish.provision.plan import check_only as check_names
from vagrantish.provision.plan import pending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.machine.record import Record
    from vagrantish.model import Digest, MachineConfig, Project
    from vagrantish.provision.base import PlannedStep, StepOutcome
    from vagrantish.ssh.client import Client

_CHUNK = 1 << 20
_READY_LINE = b"vx: ready ssh"
_REBOOT = "if [ $(id -u) = 0 ]; then reboot; else sudo -n reboot; fi"
_BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
_REBOOT_COMMAND_S = 30
_GOING_DOWN_S = 0.1


def check_only(machines: Sequence[MachineConfig], only: Sequence[str]) -> None:
    """Raises UsageError for a step that no machine has."""
    check_names(dict.fromkeys(step.name for machine in machines for step in machine.steps), only)


def provision(
    services: Services,
    project: Project,
    machines: Sequence[MachineConfig],
    *,
    only: tuple[str, ...],
    force: bool,
    running_only: bool,
    jobs: int,
    op: Op,
) -> tuple[tuple[str, tuple[StepOutcome, ...]], ...]:
    """``vx provision``: (machine, what ran) each. ``running_only`` leaves out those that are halted."""
    check_only(machines, only)

    def one(machine: MachineConfig, op: Op) -> tuple[str, tuple[StepOutcome, ...]]:
        with services.machines.lock(project.root, machine.name, op=op):
            view = connect.running_view(services.home, project.root, machine.name)
            if view.record is None:
                return machine.name, ()
            outcomes = run(services, machine, view.record, None, only=only, force=force, op=op)
            return machine.name, outcomes

    if running_only:
        views = {m.name: look.look(services.home, project.root, m.name) for m in machines}
        up = [machine for machine in machines if views[machine.name].process is not None]
        machines = up or machines
    return parallel.each(machines, one, jobs=jobs, op=op)


def due_steps(
    services: Services,
    machine: MachineConfig,
    record: Record,
    *,
    only: tuple[str, ...],
    force: bool,
) -> tuple[PlannedStep, ...]:
    """What would run in a guest as it is now; touches no guest. Raises ProvisionError."""
    layout = services.machines.layout(record)
    return pending(
        machine.steps,
        StepMemory.load(layout.steps),
        only=only,
        force=force,
        tools=_planning_tools(machine),
    )


def all_steps(machine: MachineConfig, *, only: tuple[str, ...]) -> tuple[PlannedStep, ...]:
    """What would run in a guest that is new."""
    nothing = StepMemory.empty()
    return pending(machine.steps, nothing, only=only, tools=_planning_tools(machine))


def run(
    services: Services,
    machine: MachineConfig,
    record: Record,
    client: Client | None,
    *,
    only: tuple[str, ...],
    force: bool,
    op: Op,
) -> tuple[StepOutcome, ...]:
    """Run what is due in a running guest; ``client`` None connects when there is something to do.

    Raises ProvisionError, SSHError, Cancelled.
    """
    if not machine.steps:
        return ()
    forget_after_reboot(services, record)
    planned = due_steps(services, machine, record, only=only, force=force)
    if not planned:
        return ()
    from vagrantish.provision.runner import run_steps

    layout = services.machines.layout(record)
    session = _Session(services, machine, record, client, op)
    try:
        return run_steps(
            planned,
            machine.steps,
            session.client,
            Tools(
                fetch=_fetcher(services, op),
                render=_render,
                reboot=session.reboot,
                context=machine.context,
            ),
            memory=StepMemory.load(layout.steps),
            op=op,
        )
    except (ProvisionError, SSHError) as error:
        if look.look_at(services.home, record).process is not None:
            raise
        raise ProvisionError(
            f"machine {machine.name} stopped while it was provisioned: {error.message}",
            hint="`vx logs` shows what the guest said last; `vx up` starts it and goes on.",
        ) from error
    finally:
        session.close()


def boots_seen(console_log: Path) -> int:
    """How often the guest said it was ready since the hypervisor started; at least once.

    Read piece by piece: a talkative guest's log may be bigger than the memory.
    """
    count, carried = 0, b""
    try:
        with console_log.open("rb") as file:
            while chunk := file.read(_CHUNK):
                text = carried + chunk
                count += text.count(_READY_LINE)
                # One byte less than the line: half of it is found with the next piece, no whole twice.
                carried = text[-(len(_READY_LINE) - 1) :]
    except OSError:
        pass  # gone or never made: as if it had said nothing
    return max(1, count)


def forget_after_reboot(services: Services, record: Record) -> None:
    """A guest with its root in RAM that rebooted by itself has lost what the steps did."""
    if not record.volatile:
        return
    layout = services.machines.layout(record)
    seen = boots_seen(services.machines.layout(record).console_log)
    if seen != running.boots(layout):
        StepMemory.load(layout.steps).clear()
        running.mark_ready(layout, boots=seen)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class _Session:
    """The way into the guest, which a step's reboot replaces."""

    def __init__(
        self,
        services: Services,
        machine: MachineConfig,
        record: Record,
        client: Client | None,
        op: Op,
    ) -> None:
        self._services = services
        self._machine = machine
        self._record = record
        self._op = op
        self._own = client is None
        self.client = client or self._connect()

    def close(self) -> None:
        if self._own:
            self.client.close()

    def _connect(self) -> Client:
        from vagrantish.ssh.client import connect as ssh_connect

        view = look.look_at(self._services.home, self._record)
        target = connect.target(self._services.home, view)
        return ssh_connect(target, op=self._op, timeout_s=self._machine.ssh.connect_timeout_s)

    def reboot(self) -> Client:
        """Reboot the guest, prove that it did, and connect again. Raises BootError, SSHError."""
        if self._record.volatile:
            self._op.warn(
                "This machine's root is in RAM, so the reboot loses what earlier steps did; "
                'give it a disk (disk = "1GiB") to keep it'
            )
        before = self._boot_id(self.client)
        layout = self._services.machines.layout(self._record)
        console_from = _size_of(layout.console_log)
        deadline = time.monotonic() + self._machine.boot.timeout_s
        try:
            self.client.exec(_REBOOT, timeout_s=_REBOOT_COMMAND_S, op=self._op)
        except SSHError:
            pass  # the connection may end before the command does
        while self._boot_id(self.client) == before:
            if time.monotonic() > deadline:
                raise BootError(
                    "the guest was told to reboot and did not", hint="See `vx logs` for why."
                )
            self._op.cancel.sleep(_GOING_DOWN_S)
        self.client.close()
        provider = self._services.provider(self._record.provider)
        self.client, self._own = (
            boot.wait(
                self._services,
                self._machine,
                self._record,
                provider,
                started_at=time.monotonic(),
                console_from=console_from,
                op=self._op,
            ),
            True,
        )
        if self._boot_id(self.client) in ("", before):
            raise BootError("the guest did not reboot", hint="See `vx logs` for why.")
        running.mark_ready(layout, boots=boots_seen(layout.console_log))
        return self.client

    def _boot_id(self, client: Client) -> str:
        try:
            result = client.exec(_BOOT_ID, timeout_s=_REBOOT_COMMAND_S, op=self._op)
        except SSHError:
            return ""
        return result.stdout.decode(errors="replace").strip()


def _planning_tools(machine: MachineConfig) -> Tools:
    """Enough to see which steps are due: nothing is fetched and nothing reboots for that."""
    return Tools(
        fetch=_not_while_planning, render=_render, reboot=_no_reboot, context=machine.context
    )


def _fetcher(services: Services, op: Op) -> Callable[[str, Digest], bytes]:
    return lambda url, digest: scripts.get(services.home, url, digest, op=op)


def _render(text: str, context: Mapping[str, Any]) -> str:
    from vagrantish.render import render_file

    return render_file(text, context)


def _not_while_planning(url: str, digest: Digest) -> bytes:
    raise ProvisionError(f"{url} ({digest}) is not fetched while steps are only planned")


def _no_reboot() -> Client:
    raise ProvisionError("nothing reboots while steps are only planned")
