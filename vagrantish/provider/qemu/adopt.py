"""Goes on with a hypervisor that vx was killed before noting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vagrantish import proc
from vagrantish.provider import running
from vagrantish.provider.qemu import ports
from vagrantish.provider.qemu.qmp import Qmp, QmpError

if TYPE_CHECKING:
    from vagrantish.paths import MachineLayout

_PATIENCE_S = 1.0


def adopt(layout: MachineLayout) -> dict[str, Any] | None:
    """Note down the process in the pid file, its ports read back from itself.

    None while it does not answer yet, or is none of ours. Raises HostError.
    """
    process = running.find_unnoted(layout)
    if process is None:
        return None
    routes = ports.forwards_in(proc.arguments(process.pid))
    if not routes:
        return None
    if any(route.host == 0 for route in routes):
        try:
            with Qmp(layout.qmp_socket, timeout_s=_PATIENCE_S) as qmp:
                listing = qmp.monitor("info usernet")
        except QmpError:
            return None
        routes = ports.resolve(routes, ports.parse_usernet(listing))
    ssh, *others = routes
    if ssh.host == 0:
        return None
    note = running.note_of(process, (ssh.host_ip, ssh.host), tuple(others))
    running.write_note(layout, note)
    return note
