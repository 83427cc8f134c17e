"""The guest's network device on this host, and where the guest is behind it."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vagrantish.errors import ProviderError
from vagrantish.model import Address, Candidates
from vagrantish.provider import child, running
from vagrantish.provider.bhyve import leases
from vagrantish.provider.bhyve.argv import tap_commands, tap_destroy, tap_name
from vagrantish.provider.guestnet import arp
from vagrantish.provider.guestnet.addresses import mac_of

if TYPE_CHECKING:
    from vagrantish.paths import MachineLayout
    from vagrantish.provider.bhyve.argv import Programs

_TRIES = 20
_LOOK_S = 5.0
_LEASES_MAX = 4 << 20
# dnsmasq's, of FreeBSD's package and as it is elsewhere.
_LEASES = ("/var/db/dnsmasq.leases", "/var/lib/misc/dnsmasq.leases")
_OPENED = "Opened by PID"  # ifconfig(8) says so of a tap that a program has


def free_tap(vm_id: str, ifconfig: str) -> str:
    """A device nobody has open; one that is there and closed is left from an earlier run."""
    for attempt in range(_TRIES):
        tap = tap_name(vm_id, attempt)
        finished = _run((ifconfig, tap))
        if finished.status != 0 or _OPENED not in finished.output:
            return tap
    raise ProviderError(
        f"{tap_name(vm_id)} and the {_TRIES - 1} devices after it are all in use",
        hint="`ifconfig -g tap` lists them; destroy those nobody needs.",
    )


def make_tap(tap: str, bridge: str, programs: Programs, *, prefix: tuple[str, ...]) -> None:
    """Have the device, in the bridge and up. Raises ProviderError; ``prefix`` makes it root's work.

    It is made anew where it is there: what is left of it may be a member elsewhere.
    """
    if _run((programs.ifconfig, tap)).status == 0:
        _run((*prefix, *tap_destroy(tap, programs)))
    for command in tap_commands(tap, bridge, programs):
        finished = _run((*prefix, *command))
        if finished.status != 0:
            said = finished.output or f"status {finished.status}"
            raise ProviderError(
                f"{tap}, the guest's network device, cannot be had: `{shlex.join(command)}`: {said}",
                hint=f"Is {bridge} a bridge of this host? [bhyve] bridge names another.",
            )


def candidates_of(layout: MachineLayout) -> Candidates:
    """By the MAC in the leases of the bridge's DHCP server, else in the table of ARP; one look."""
    note = running.read_note(layout) or {}
    mac, port, named = note.get("mac"), note.get("ssh_port"), note.get("leases")
    if not isinstance(mac, str) or not isinstance(port, int):
        return Candidates(addresses=(), certain=False)
    is_named = isinstance(named, str)
    files = (named,) if isinstance(named, str) else _LEASES
    for name in files:
        known = leases.parse(_read(Path(name)), loopback=is_named)
        found = leases.addresses_of(known, mac, now=time.time())
        if found:
            return _candidates(found, port, f"leased to {mac} in {name}")
    wanted = mac_of(mac)
    return _candidates(
        tuple(neighbour.ip for neighbour in arp.recent() if neighbour.mac == wanted),
        port,
        f"no lease of {mac} in {' or '.join(files)}, so looked for by ARP",
    )


def _candidates(found: tuple[str, ...], port: int, note: str) -> Candidates:
    where = tuple(Address(host=ip, port=port) for ip in found)
    return Candidates(addresses=where, certain=False, note=note)


def _run(argv: tuple[str, ...]) -> child.Finished:
    return child.run(argv, timeout_s=_LOOK_S)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LEASES_MAX)
    except OSError:
        return b""
