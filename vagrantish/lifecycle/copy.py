"""``vx cp``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.lifecycle import connect
from vagrantish.ssh.client import connect as ssh_connect

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.ssh.client import Client


def copy_in(
    services: Services, project_root: Path, name: str, source: Path, destination: str, *, op: Op
) -> None:
    """A file or folder into the guest. Raises MachineError, TransferError, SSHError."""
    with _client(services, project_root, name, op=op) as client:
        client.copy_in(source, destination or ".", op=op)


def copy_out(
    services: Services, project_root: Path, name: str, source: str, destination: Path, *, op: Op
) -> None:
    """A file or folder out of the guest. Raises MachineError, TransferError, SSHError."""
    with _client(services, project_root, name, op=op) as client:
        client.copy_out(source or ".", destination, op=op)


def _client(services: Services, project_root: Path, name: str, *, op: Op) -> Client:
    view = connect.running_view(services.home, project_root, name)
    return ssh_connect(connect.target(services.home, view), op=op)
