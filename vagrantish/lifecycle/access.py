"""Which keys a machine's guest has: those vx gives it, or those that its user names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vagrantish.errors import MachineError
from vagrantish.model import SeedKind

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.machine.record import Record
    from vagrantish.model import Box, MachineConfig
    from vagrantish.paths import MachineLayout


class KeysUnknown(MachineError):
    """A guest whose keys nobody told: there is no way in that could be trusted."""

    code = "keys-unknown"


def ssh_fields(machine: MachineConfig, seed: str) -> dict[str, Any]:
    """What ``vx ssh`` needs of the settings, so that it need not read them all.

    A guest that takes keys has the machine's own, whatever else is set.
    """
    own = seed == SeedKind.NONE
    key = machine.ssh.key if own else None
    return {
        "forward_agent": machine.ssh.forward_agent,
        "connect_timeout_s": machine.ssh.connect_timeout_s,
        "key": str(key) if key is not None else "",
        "host_key": (machine.ssh.host_key or "") if own else "",
    }


def check(machine: MachineConfig, box: Box, layout: MachineLayout) -> None:
    """Before a guest without a seed is started. Raises KeysUnknown, MachineError."""
    if box.seed is not SeedKind.NONE:
        return
    if machine.ssh.key is not None:
        _check_key(machine.ssh.key)
    if machine.ssh.host_key is None:
        public = layout.user_key.with_name(f"{layout.user_key.name}.pub")
        raise KeysUnknown(
            f"{box.named} takes no keys from vx, and no host key is told for its guest: "
            "vx trusts none on first use",
            hint="Under [ssh] set `host_key` to the line in the guest's "
            "/etc/ssh/ssh_host_ed25519_key.pub, and `key` to a private key the guest lets in; "
            f"or put {public} into the guest's authorized_keys.",
        )


def _check_key(path: Path) -> None:
    from vagrantish.ssh.keys import private_problem

    wrong = private_problem(path)
    if wrong:
        raise MachineError(
            f"the private key {path} {wrong}", hint="Correct `key` under [ssh], or that file."
        )


def pin(record: Record, layout: MachineLayout) -> None:
    """Insist on the host key that is told for the guest, or on the machine's own. Raises HostError."""
    from vagrantish.files import host_errors, write_atomic
    from vagrantish.ssh.keys import known_hosts_line

    public = record.ssh.get("host_key")
    with host_errors(f"read {layout.directory}"):
        if not isinstance(public, str) or not public:
            public = layout.host_key.with_name(f"{layout.host_key.name}.pub").read_text()
        line = known_hosts_line(record.host_alias, public).encode()
        if layout.known_hosts.exists() and layout.known_hosts.read_bytes() == line:
            return
    write_atomic(layout.known_hosts, line, mode=0o600)
