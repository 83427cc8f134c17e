"""The file macOS's bootpd keeps its leases in: /var/db/dhcpd_leases."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LEASE_S = 86400
_ETHERNET, _DUID = 1, 0xFF
_BLOCK = re.compile(r"^\{\n.*?^\}\n", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Lease:
    address: str
    mac: bytes
    name: str = ""
    client_id: bytes = b""  # with its type; empty: by its MAC
    expires: int


def text_of(lease: Lease) -> str:
    """A client with a DUID is known by nothing else (macOS 15; crc-org/vfkit#242)."""
    by_mac = bytes([_ETHERNET]) + lease.mac
    identifier = lease.client_id or by_mac
    hardware = identifier if identifier[0] == _DUID else by_mac
    name = "".join(letter for letter in lease.name if letter.isprintable())
    lines = [
        *([f"name={name}"] if name else []),
        f"ip_address={lease.address}",
        f"hw_address={_octets(hardware)}",
        f"identifier={_octets(identifier)}",
        f"lease=0x{lease.expires:x}",
    ]
    return "{\n" + "".join(f"\t{line}\n" for line in lines) + "}\n"


def _octets(identifier: bytes) -> str:
    """Type, comma, bytes; all without leading zeros."""
    return f"{identifier[0]:x}," + ":".join(f"{octet:x}" for octet in identifier[1:])


def duid_of(mac: bytes) -> bytes:
    """A client id as systemd makes it: the interface, then a DUID by enterprise number 43793."""
    digest = hashlib.sha256(mac).digest()
    return bytes([_DUID]) + digest[:4] + b"\x00\x02\x00\x00\xab\x11" + digest[4:12]


def with_lease(text: str, lease: Lease) -> str:
    """The new one first. The others stay, but for one with its address."""
    mark = f"\tip_address={lease.address}\n"
    kept = [block for block in _BLOCK.findall(text) if mark not in block]
    return text_of(lease) + "".join(kept)


def record(path: Path, lease: Lease) -> None:
    """Replaces the file whole. Several doubles may do so at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = path.read_text("utf-8", "replace") if path.exists() else ""
        staged = path.with_name(f".{path.name}.new")
        staged.write_text(with_lease(before, lease), "utf-8")
        staged.chmod(0o644)
        staged.replace(path)
    finally:
        os.close(lock)


def expiry() -> int:
    return int(time.time()) + LEASE_S
