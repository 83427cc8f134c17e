"""The leases of macOS's bootpd: the bytes of /var/db/dhcpd_leases as entries. Pure.

An entry is a line ``{``, lines ``<tab>key=value`` without quoting, and a line ``}``; octets have
lost their leading zeros. A value comes from the guest, so lines end at a newline and nowhere else,
and what says its address twice is not believed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vagrantish.provider.guestnet.addresses import guest_ip, octets_of

SIZE_MAX = 4 << 20
ENTRIES_MAX = 10_000
ETHERNET = 1
DUID = 0xFF  # what follows it is an interface's number and a DUID (RFC 4361, 6.1)
_KEYS = frozenset({"name", "ip_address", "hw_address", "identifier", "lease"})
_NAME_MAX = 255
_TYPE_DIGITS = 2
_EXPIRY = re.compile(r"(0x)?[0-9A-Fa-f]{1,16}", re.ASCII)
_IAID, _LLT, _LL = 4, b"\0\1", b"\0\3"  # RFC 8415, 11.2 and 11.4: DUIDs that end with a MAC
_LLT_MAC, _LL_MAC = 8, 4


@dataclass(frozen=True, kw_only=True)
class ClientId:
    type: int
    octets: bytes

    @property
    def mac(self) -> bytes | None:
        """The MAC in it; None where there is none, as with most DUIDs."""
        if self.type == ETHERNET:
            return self.octets if len(self.octets) == 6 else None
        duid = self.octets[_IAID:] if self.type == DUID else b""
        start = {_LLT: _LLT_MAC, _LL: _LL_MAC}.get(duid[:2])
        found = duid[start:] if start is not None else b""
        return found if len(found) == 6 else None


@dataclass(frozen=True, kw_only=True)
class Lease:
    ip: str
    name: str  # "" where the guest sent none
    hardware: ClientId | None
    identifier: ClientId | None
    expires: int  # Unix seconds; 0 where the entry does not say

    @property
    def mac(self) -> bytes | None:
        for told in (self.hardware, self.identifier):
            if told is not None and told.mac is not None:
                return told.mac
        return None

    @property
    def mark(self) -> str:
        """Changes when the lease is given anew."""
        who = self.hardware or self.identifier
        return f"{who.type:x},{who.octets.hex()}/{self.expires:x}" if who else f"/{self.expires:x}"


def parse(raw: bytes, *, loopback: bool = False) -> tuple[Lease, ...]:
    """Every whole entry with an address a guest may have, in the file's order."""
    found: list[Lease] = []
    fields: dict[str, str] | None = None
    for line in raw[:SIZE_MAX].split(b"\n"):
        text = line.strip(b" \t\r")
        if text == b"{":
            fields = {}
        elif text == b"}":
            lease = _lease_of(fields, loopback=loopback) if fields is not None else None
            if lease is not None:
                found.append(lease)
            fields = None
            if len(found) >= ENTRIES_MAX:
                break
        elif fields is not None:
            fields = _with_line(fields, text)
    return tuple(found)


def _with_line(fields: dict[str, str], text: bytes) -> dict[str, str] | None:
    """``fields`` with one more; None when they contradict each other."""
    key, is_pair, value = text.decode("utf-8", "replace").partition("=")
    if not is_pair or key not in _KEYS:
        return fields
    if key in fields:
        return None
    fields[key] = value
    return fields


def _lease_of(fields: dict[str, str], *, loopback: bool) -> Lease | None:
    ip = guest_ip(fields.get("ip_address", ""), loopback=loopback)
    if ip is None:
        return None
    name = fields.get("name", "")[:_NAME_MAX]
    return Lease(
        ip=ip,
        name=name if name.isprintable() else "",
        hardware=_client_id(fields.get("hw_address", "")),
        identifier=_client_id(fields.get("identifier", "")),
        expires=_seconds(fields.get("lease", "")),
    )


def _client_id(text: str) -> ClientId | None:
    kind, _, rest = text.partition(",")
    type_, octets = octets_of(kind), octets_of(rest)
    if len(kind) > _TYPE_DIGITS or type_ is None or octets is None:
        return None
    return ClientId(type=type_[0], octets=octets)


def _seconds(text: str) -> int:
    return int(text, 16) if _EXPIRY.fullmatch(text) else 0
