"""Every machine under VX_HOME: its record, its files, what runs of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vagrantish.errors import MachineError
from vagrantish.lifecycle import look
from vagrantish.lifecycle.doctor.finding import Finding, Level, ok
from vagrantish.machine.record import is_id, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.machine.record import Record
    from vagrantish.paths import MachineLayout

_OPEN = 0o077


def findings(services: Services) -> Iterator[Finding]:
    for machine_id in _ids(services.home.machines):
        layout = services.home.machine(machine_id)
        try:
            record = read(layout.record)
        except MachineError as error:
            yield Finding(
                id="machine.record",
                level=Level.ERROR,
                text=error.message,
                hint=error.hint,
                subject=machine_id,
            )
            continue
        if record is None:
            yield Finding(
                id="machine.record",
                level=Level.ERROR,
                text=f"{layout.directory} has no machine.json, so nothing of vx uses it",
                hint="If nothing in it is dear to you, remove that folder.",
                subject=machine_id,
            )
            continue
        yield from _of_machine(services, record, layout)


def _of_machine(services: Services, record: Record, layout: MachineLayout) -> Iterator[Finding]:
    name = record.name
    view = look.look_at(services.home, record)
    yield from _keys(record, layout)
    if not os.path.isdir(record.project):
        yield Finding(
            id="machine.project",
            level=Level.WARNING,
            text=f"the project of machine {name} is gone: {record.project}",
            hint="Put the project back, and its folder `.vx` with it; or make an empty one there "
            f"with an Xhyvefile (`vx init`) and run `vx destroy {name}`.",
            subject=name,
        )
    if view.state == look.HALTED:
        yield from _leftovers(services, record, layout)
    elif view.state == look.BOOTING:
        yield Finding(
            id="machine.state",
            level=Level.NOTE,
            text=f"machine {name} runs and was not ready yet",
            hint=f"`vx up {name}` goes on waiting, `vx explain {name}` says how far it is.",
            subject=name,
        )
    else:
        yield ok("machine.state", f"{name} runs ({record.provider})", subject=name)


def _keys(record: Record, layout: MachineLayout) -> Iterator[Finding]:
    for path in (layout.user_key, layout.host_key):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            yield Finding(
                id="machine.keys",
                level=Level.ERROR,
                text=f"a key of machine {record.name} is gone: {path}",
                hint=f"Put it back, or `vx destroy {record.name}` and `vx up`.",
                subject=record.name,
            )
            continue
        except OSError:
            continue  # host.owner tells
        if mode & _OPEN:
            yield Finding(
                id="machine.keys",
                level=Level.WARNING,
                text=f"others may read a private key of machine {record.name}: {path}",
                hint=f"`chmod 600 {path}`: ssh refuses it otherwise.",
                subject=record.name,
                fix=_closing(path),
            )


def _closing(path: Path) -> Callable[[Op], None]:
    return lambda _op: path.chmod(0o600)


def _leftovers(services: Services, record: Record, layout: MachineLayout) -> Iterator[Finding]:
    left = [path.name for path in _run_files(layout) if path.exists() or path.is_symlink()]
    if not left:
        yield ok("machine.state", f"{record.name} is halted", subject=record.name)
        return

    def sweep(op: Op) -> None:
        with services.machines.lock(Path(record.project), record.name, op=op):
            if look.look_at(services.home, record).state == look.HALTED:
                provider = services.provider(record.provider)
                provider.stop(layout, grace_s=0, ask_guest=None, op=op)

    yield Finding(
        id="machine.leftovers",
        level=Level.NOTE,
        text=f"{record.name} is halted and its last run left {', '.join(left)}",
        hint="The next `vx up` or `vx halt` clears that.",
        subject=record.name,
        fix=sweep,
    )


def _run_files(layout: MachineLayout) -> tuple[Path, ...]:
    """What is there only while a hypervisor runs."""
    return (layout.pid_file, layout.qmp_socket, layout.console_socket)


def _ids(folder: Path) -> list[str]:
    try:
        return sorted(entry for entry in os.listdir(folder) if is_id(entry))
    except OSError:
        return []
