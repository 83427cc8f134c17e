"""vmnet's part: a MAC for a UUID, an address for a MAC, a network for QEMU."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SSH_PORT = 22
MACS = "macs.json"  # {UUID: MAC}; a test may write it before the first start
ADDRESSES = "addresses.json"  # {MAC: address}
_HOSTS = range(2, 251)  # .1 is the host, .253 answers DNS
DEAD_HOST = 254
_GUEST_NET = "192.168.64"
_PATIENCE_S = 1.0


def mac_of(uuid: str, state: Path) -> str:
    """Six octets of two digits. It stays the same as long as the state lives."""
    key = uuid.lower()
    with _table(state, MACS) as macs:
        known = {name.lower(): mac for name, mac in macs.items()}
        if key not in known:
            macs[key] = known[key] = new_mac(key)
        return _two_digits(known[key])


def new_mac(uuid: str) -> str:
    """Made from the UUID in the byte order vmnet gets (xhyve include/xhyve/support/uuid.h:94-153);
    the last two octets are the same for every guest, as on a Mac."""
    low, mid, high, *tail = (bytes.fromhex(part) for part in uuid.split("-"))
    digest = hashlib.sha256(low[::-1] + mid[::-1] + high[::-1] + b"".join(tail)).digest()
    octets = ((digest[0] & 0xFC) | 2, *digest[1:4], 0xCF, 0x32)
    return ":".join(f"{octet:02x}" for octet in octets)


def _two_digits(mac: str) -> str:
    return ":".join(f"{int(octet, 16):02x}" for octet in mac.split(":"))


@contextmanager
def _table(state: Path, name: str) -> Iterator[dict[str, str]]:
    """To be read and changed while nobody else does; saved at the end."""
    state.mkdir(parents=True, exist_ok=True)
    path = state / name
    lock = os.open(state / f".{name}.lock", os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        table: dict[str, str] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        before = dict(table)
        yield table
        if table != before:
            staged = state / f".{name}.new"
            staged.write_text(json.dumps(table, indent=1) + "\n", "utf-8")
            staged.replace(path)
    finally:
        os.close(lock)


# --- addresses -------------------------------------------------------------------------------


def ssh_port(environ: Mapping[str, str]) -> int:
    """The port at a guest's address that leads to its port 22."""
    return int(environ.get("FAKE_XHYVE_SSH_PORT") or SSH_PORT)


def block_of(state: Path) -> str:
    """The first three numbers of every address given out with this state.

    All of 127.0.0.0/8 is this computer, so a lease can name an address that ssh reaches. Each
    state has a block of its own, or tests that run side by side would want the same ones.
    """
    digest = hashlib.sha256(os.fsencode(os.path.realpath(state))).digest()
    return f"127.64.{digest[0]}"


@dataclass(frozen=True, kw_only=True)
class Address:
    """Held until this process ends."""

    outside: str  # 127.64.x.N, in the leases
    inside: str  # 192.168.64.N, in the guest
    port: int
    hold: socket.socket


def claim_address(mac: str, state: Path, port: int) -> Address:
    """The one this MAC had, or else the lowest that is free. Raises OSError: none is."""
    with _table(state, ADDRESSES) as addresses:
        block = block_of(state)
        own = addresses.get(mac)
        if own is not None:
            # A double that was killed leaves its port to QEMU for a moment.
            until = time.monotonic() + _PATIENCE_S
            while (hold := _hold(own, port)) is None and time.monotonic() < until:
                time.sleep(0.02)
            if hold is not None:
                return _address(own, port, hold)
        others = set(addresses.values())
        pool = [f"{block}.{host}" for host in _HOSTS]
        # With all given out, that of a guest which does not run is as good as free.
        for address in sorted(pool, key=others.__contains__):
            hold = _hold(address, port)
            if hold is not None:
                for other in [mac for mac, its in addresses.items() if its == address]:
                    del addresses[other]
                addresses[mac] = address
                return _address(address, port, hold)
    raise OSError(
        f"no port {port} is to be had at {block}.2 to .250: is it root's, or does a server listen "
        f"at 0.0.0.0:{port}? FAKE_XHYVE_SSH_PORT takes another"
    )


def _address(outside: str, port: int, hold: socket.socket) -> Address:
    inside = f"{_GUEST_NET}.{outside.rpartition('.')[2]}"
    return Address(outside=outside, inside=inside, port=port, hold=hold)


def _hold(address: str, port: int) -> socket.socket | None:
    """QEMU binds the TCP port itself; the UDP port keeps other doubles away until it has."""
    hold = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        hold.bind((address, port))
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            probe.listen()
    except OSError:
        hold.close()
        return None
    return hold


# --- QEMU's words ----------------------------------------------------------------------------


def netdev_of(net: str, address: Address | None) -> str:
    """What follows ``-netdev``; without an address, a cable that ends nowhere."""
    if address is not None:
        return (
            f"user,id=net,net={_GUEST_NET}.0/24,host={_GUEST_NET}.1,dns={_GUEST_NET}.253,"
            f"dhcpstart={address.inside},"
            f"hostfwd=tcp:{address.outside}:{address.port}-{address.inside}:22"
        )
    kind, _, bridge = net.partition(":")
    if kind == "tap":
        return f"bridge,id=net,br={bridge}"
    return "hubport,id=net,hubid=0"
