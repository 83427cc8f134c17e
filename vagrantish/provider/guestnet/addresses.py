"""MAC and IPv4 addresses as strangers write them. Pure."""

from __future__ import annotations

import ipaddress
import re

_OCTETS = re.compile(r"[0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{1,2}){0,254}", re.ASCII)
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", re.ASCII)
_MAC_OCTETS = 6


def octets_of(text: str) -> bytes | None:
    """``9a:5:1b`` as bytes: octets may lack their leading zero."""
    if not _OCTETS.fullmatch(text):
        return None
    return bytes(int(part, 16) for part in text.split(":"))


def mac_of(text: str) -> bytes | None:
    found = octets_of(text)
    return found if found is not None and len(found) == _MAC_OCTETS else None


def mac_text(mac: bytes) -> str:
    return mac.hex(":")


def guest_ip(text: str) -> str | None:
    """``text`` if a guest of this host may have that address, else None.

    Whoever wrote it must not make us connect to the internet, or to everybody.
    """
    if not _IPV4.fullmatch(text):
        return None
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return None
    is_one = not (address.is_multicast or address.is_reserved or address.packed[0] == 0)
    return str(address) if address.is_private and is_one else None
