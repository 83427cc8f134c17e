"""Where a guest is, from the leases file of dnsmasq. Pure.

A line is ``expiry mac ip name client-id`` (dnsmasq src/lease.c, lease_update_file); 0 as the
expiry is never. What follows a line ``duid …`` is of IPv6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vagrantish.provider.guestnet.addresses import guest_ip, mac_of

_LINES_MAX = 20_000
_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")


@dataclass(frozen=True, kw_only=True)
class Lease:
    ip: str
    mac: bytes
    name: str  # "" where the guest sent none
    expires_at: float  # infinity: never


def parse(raw: bytes, *, loopback: bool = False) -> tuple[Lease, ...]:
    """The leases for IPv4 in the file's order; lines that are none are passed over."""
    found = []
    for line in raw.split(b"\n", _LINES_MAX)[:_LINES_MAX]:
        words = line.decode("utf-8", "replace").split()
        if words[:1] == ["duid"]:
            break
        lease = _lease_of(words, loopback=loopback)
        if lease is not None:
            found.append(lease)
    return tuple(found)


def addresses_of(leases: tuple[Lease, ...], mac: str, *, now: float) -> tuple[str, ...]:
    """Where ``mac`` is, the longest lease first; those that ran out come last."""
    wanted = mac_of(mac)
    mine = [lease for lease in leases if wanted is not None and lease.mac == wanted]
    mine.sort(key=lambda lease: (lease.expires_at > now, lease.expires_at), reverse=True)
    return tuple(dict.fromkeys(lease.ip for lease in mine))


def _lease_of(words: list[str], *, loopback: bool) -> Lease | None:
    if len(words) < 3 or not re.fullmatch("[0-9]{1,15}", words[0]):
        return None
    # A type other than Ethernet stands before the address: "06-00:11:…".
    mac, ip = mac_of(words[1].rpartition("-")[2]), guest_ip(words[2], loopback=loopback)
    if mac is None or ip is None:
        return None
    name = words[3] if len(words) > 3 and _NAME.fullmatch(words[3]) else ""
    expiry = int(words[0])
    return Lease(ip=ip, mac=mac, name=name, expires_at=float(expiry) if expiry else float("inf"))
