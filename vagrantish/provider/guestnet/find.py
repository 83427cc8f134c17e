"""Where a guest may be, the likeliest first, from the host's leases and its table of ARP."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vagrantish.model import Address, Candidates
from vagrantish.provider import running
from vagrantish.provider.guestnet import arp, leases, vmnet
from vagrantish.provider.guestnet.addresses import mac_of, mac_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vagrantish.paths import MachineLayout
    from vagrantish.provider.guestnet.arp import Neighbour
    from vagrantish.provider.guestnet.leases import Lease

LEASES = "/var/db/dhcpd_leases"
_FOUND_MAX = 16
_SNAPSHOT_MAX = 500  # the note is read by every `vx status`


@dataclass(frozen=True, kw_only=True)
class Wanted:
    mac: bytes | None  # None: not known
    hostname: str = ""
    file: str = LEASES  # for people
    reached_at: str = ""  # where it answered before in this run


@dataclass(frozen=True, kw_only=True)
class Found:
    ip: str
    how: str  # for people


def candidates(
    wanted: Wanted,
    known: tuple[Lease, ...],
    before: Mapping[str, str] | None,
    neighbours: tuple[Neighbour, ...],
    now: float,
) -> tuple[Found, ...]:
    """Where it answered, then by MAC, ARP, name, what is new; expired leases last. Pure.

    ``before`` is a ``snapshot`` from before the start; None: there is none.
    """
    newest = sorted(known, key=lambda lease: lease.expires, reverse=True)
    valid = [lease for lease in newest if lease.expires > now]
    expired = [lease for lease in newest if lease.expires <= now]
    found = (
        *_where_reached(wanted),
        *_by_mac(wanted, valid),
        *_by_arp(wanted, neighbours),
        *_by_name(wanted, valid),
        *_by_change(wanted, valid, before),
        *_by_mac(wanted, expired, "an expired "),
        *_by_name(wanted, expired, "an expired "),
    )
    best: dict[str, Found] = {}
    for each in found:
        best.setdefault(each.ip, each)
    return tuple(best.values())[:_FOUND_MAX]


def snapshot(known: tuple[Lease, ...]) -> dict[str, str]:
    """What to remember of the leases before a start, as JSON takes it. Pure."""
    oldest_first = sorted(known, key=lambda lease: lease.expires)
    return {lease.ip: lease.mark for lease in oldest_first[-_SNAPSHOT_MAX:]}


def snapshot_of(file: str | None) -> dict[str, str]:
    """The same, of the leases file as it is now; None means macOS's own."""
    return snapshot(_read_leases(file or LEASES))


def candidates_of(layout: MachineLayout) -> Candidates:
    """One look for the guest of the machine whose start was noted."""
    note = running.note_of_live(layout) or {}
    port = note.get("ssh_port")
    if not isinstance(port, int):
        return Candidates(addresses=(), certain=False)
    wanted = _wanted_in(note)
    known, before, now = _read_leases(wanted.file), _before_in(note), time.time()
    neighbours: tuple[Neighbour, ...] = ()
    if wanted.mac is not None and not any(_by_mac(wanted, _valid(known, now))):
        neighbours = arp.recent()
    found = candidates(wanted, known, before, neighbours, now)
    return Candidates(
        addresses=tuple(Address(host=each.ip, port=port) for each in found),
        certain=False,
        note=found[0].how if found else _nothing(wanted),
    )


def _where_reached(wanted: Wanted) -> Iterator[Found]:
    if wanted.reached_at:
        yield Found(ip=wanted.reached_at, how="it answered there before in this run")


def _by_mac(wanted: Wanted, known: list[Lease], which: str = "") -> Iterator[Found]:
    for lease in known:
        if wanted.mac is not None and lease.mac == wanted.mac:
            yield Found(ip=lease.ip, how=f"{which}lease of {mac_text(wanted.mac)} in {wanted.file}")


def _by_arp(wanted: Wanted, neighbours: tuple[Neighbour, ...]) -> Iterator[Found]:
    for neighbour in neighbours:
        if wanted.mac is not None and neighbour.mac == wanted.mac:
            on = f" on {neighbour.device}" if neighbour.device else ""
            yield Found(ip=neighbour.ip, how=f"{mac_text(wanted.mac)}{on} by ARP")


def _by_name(wanted: Wanted, known: list[Lease], which: str = "") -> Iterator[Found]:
    """From macOS 15 on, a client with a DUID is known by nothing else."""
    name = _short(wanted.hostname)
    mine = [lease for lease in known if name and _short(lease.name) == name]
    for lease in sorted(mine, key=lambda lease: lease.mac is not None):
        if not _is_another(wanted, lease):
            yield Found(ip=lease.ip, how=f"{which}lease of {wanted.hostname} in {wanted.file}")


def _by_change(
    wanted: Wanted, known: list[Lease], before: Mapping[str, str] | None
) -> Iterator[Found]:
    for lease in known:
        is_new = before is not None and before.get(lease.ip) != lease.mark
        if is_new and not _is_another(wanted, lease):
            yield Found(ip=lease.ip, how=f"lease new in {wanted.file} since the start")


def _is_another(wanted: Wanted, lease: Lease) -> bool:
    return None not in (wanted.mac, lease.mac) and wanted.mac != lease.mac


def _short(name: str) -> str:
    return name.partition(".")[0].lower()


def _valid(known: tuple[Lease, ...], now: float) -> list[Lease]:
    return [lease for lease in known if lease.expires > now]


def _nothing(wanted: Wanted) -> str:
    names = [mac_text(wanted.mac)] if wanted.mac is not None else []
    names += [wanted.hostname] if wanted.hostname else []
    why = ""
    if not os.path.exists(wanted.file):
        why = ", which is not there"
    elif not os.access(wanted.file, os.R_OK):
        why = ", which cannot be read"
    return f"no lease of {' or '.join(names) or 'a new guest'} in {wanted.file}{why}"


def _wanted_in(note: dict[str, Any]) -> Wanted:
    mac, uuid, hostname, file = (note.get(key) for key in ("mac", "uuid", "hostname", "leases"))
    found = mac_of(mac) if isinstance(mac, str) else None
    if found is None and isinstance(uuid, str):
        found = vmnet.read().mac(uuid)
    return Wanted(
        mac=found,
        hostname=hostname if isinstance(hostname, str) else "",
        file=file if isinstance(file, str) else LEASES,
        reached_at=_reached_in(note),
    )


def _reached_in(note: dict[str, Any]) -> str:
    where = note.get("address")
    host = where.get("host") if isinstance(where, dict) else None
    return host if isinstance(host, str) else ""


def _before_in(note: dict[str, Any]) -> Mapping[str, str] | None:
    before = note.get("leases_before")
    return before if isinstance(before, dict) else None


def _read_leases(file: str) -> tuple[Lease, ...]:
    try:
        found = os.stat(file)
    except OSError:
        return ()
    if not stat.S_ISREG(found.st_mode):
        return ()  # opening a pipe would wait for whoever writes it
    return _leases_at(file, (found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=4)
def _leases_at(file: str, _stamp: tuple[int, ...]) -> tuple[Lease, ...]:
    """A guest is looked for many times a second, and the file rarely changes."""
    try:
        with Path(file).open("rb") as opened:
            raw = opened.read(leases.SIZE_MAX)
    except OSError:
        return ()
    return leases.parse(raw, loopback=file != LEASES)
