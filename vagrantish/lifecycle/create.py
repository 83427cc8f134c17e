"""A new machine: its names, its keys, its folder."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vagrantish.lifecycle.access import ssh_fields
from vagrantish.lifecycle.hypervisors import new_mac
from vagrantish.lifecycle.spec import box_fields
from vagrantish.machine.record import Record
from vagrantish.ssh import keys

if TYPE_CHECKING:
    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.model import Box, MachineConfig, Project
    from vagrantish.provider.base import Provider


def create(
    services: Services,
    project: Project,
    machine: MachineConfig,
    box: Box,
    provider: Provider,
    *,
    op: Op,
) -> Record:
    """Make the machine's folder with a user key and a host key of its own. Raises HostError."""
    unique = uuid.uuid4()
    record = Record(
        id=unique.hex[:8],
        uuid=str(unique),
        name=machine.name,
        project=str(project.root),
        provider=provider.name,
        mac=new_mac(provider, unique),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        user=user_of(machine, box),
        box=box_fields(box, machine),
        ssh=ssh_fields(machine, box.seed),
    )
    layout = services.machines.layout(record)
    user_key = keys.generate(key_comment(project.name, machine.name))
    host_key = keys.generate(record.host_alias)
    secrets = {
        layout.user_key.name: user_key.private,
        layout.user_key.name + ".pub": f"{user_key.public}\n".encode(),
        layout.host_key.name: host_key.private,
        layout.host_key.name + ".pub": f"{host_key.public}\n".encode(),
        layout.known_hosts.name: keys.known_hosts_line(record.host_alias, host_key.public).encode(),
    }
    services.machines.create(record, secrets, project.root, op=op)
    return record


def key_comment(project_name: str, machine_name: str) -> str:
    """A folder's name may hold anything; a key's comment is one line of plain text."""
    plain = "".join(c if c.isascii() and c.isprintable() else "_" for c in project_name)
    return f"vx {plain} {machine_name}"


def user_of(machine: MachineConfig, box: Box) -> str:
    return machine.ssh.user or box.user
