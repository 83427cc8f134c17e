"""MAC and IPv4 addresses as strangers write them. Pure."""

from __future__ import annotations

import ipaddress
import re

_OCTETS = re.compile(r"[0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{1,2}){0,254}", re.ASCII)
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", re.ASCII)
_MAC_OCTETS = 6
_PRIVATE = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
# Where stand-ins put guests; 127.0.0.1 is this host itself and never one.
_LOOPBACK = ipaddress.IPv4Network("127.64.0.0/10")


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


def guest_ip(text: str, *, loopback: bool = False) -> str | None:
    """``text`` if a guest of this host may have that address, else None.

    Whoever wrote it must not make us connect to the internet, or to this host; ``loopback`` is for
    a file that the user named, whose guests may be behind a part of the loopback network.
    """
    if not _IPV4.fullmatch(text):
        return None
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return None
    believed = (*_PRIVATE, _LOOPBACK) if loopback else _PRIVATE
    return str(address) if any(address in network for network in believed) else None
