"""From a machine to the way into its guest. Light: it is most of ``vx ssh``."""

from __future__ import annotations

from pathlib import Path

from vagrantish.errors import MachineNotFound, MachineNotRunning
from vagrantish.lifecycle import look
from vagrantish.provider import running
from vagrantish.ssh.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vagrantish.lifecycle.look import View
    from vagrantish.machine.record import Record
    from vagrantish.paths import MachineLayout, VxHome


def target_of(record: Record, layout: MachineLayout, host: str, port: int) -> Target:
    return Target(
        address_host=host,
        address_port=port,
        user=record.user,
        key_file=Path(record.own_key) if record.own_key else layout.user_key,
        known_hosts=layout.known_hosts,
        alias=record.host_alias,
        forward_agent=record.forward_agent,
        connect_timeout_s=record.connect_timeout_s,
    )


def running_view(home: VxHome, project_root: Path, name: str) -> View:
    """The machine, which must run. Raises MachineNotFound, MachineNotRunning."""
    view = look.look(home, project_root, name)
    if view.record is None:
        raise MachineNotFound(f"machine {name} is not created yet", hint=f"Run `vx up {name}`.")
    if view.process is None:
        raise MachineNotRunning(f"machine {name} is halted", hint=f"Run `vx up {name}`.")
    return view


def target(home: VxHome, view: View) -> Target:
    """Where and how to log in. Raises MachineNotRunning while the address is not known."""
    if view.record is None:
        raise MachineNotFound(f"machine {view.name} is not created yet")
    layout = home.machine(view.record.id)
    address = running.address(layout)
    if address is None:
        raise MachineNotRunning(
            f"machine {view.name} has no address yet", hint="Run `vx up` and let it finish."
        )
    return target_of(view.record, layout, *address)
