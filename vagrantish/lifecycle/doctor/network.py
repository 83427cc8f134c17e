"""What on a Mac comes between a guest on vmnet and its address or the internet.

The causes are those users of xhyve, multipass and Lima reported: bootpd behind the firewall, VPNs
that take the default route, other servers of DHCP, Internet Sharing.
"""

from __future__ import annotations

import plistlib
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.errors import HostError
from vagrantish.lifecycle.doctor.finding import Finding, Level, ok
from vagrantish.provider import child

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BOOTPD = "/usr/libexec/bootpd"
_FIREWALL = "/usr/libexec/ApplicationFirewall/socketfilterfw"
_NAT = "/Library/Preferences/SystemConfiguration/com.apple.nat.plist"
_PLIST_MAX = 1 << 20
_TIMEOUT_S = 5.0
_INTERFACE = re.compile(r"^\s*interface:\s*(\S+)", re.MULTILINE)
_TUNNEL = re.compile(r"(utun|ppp|ipsec|tun|tap|wg)\d+")


@dataclass(frozen=True, kw_only=True)
class NetworkState:
    """What was seen; texts are what the programs wrote, "" where they were not run."""

    leases: Path
    leases_readable: bool | None  # None: there is no such file yet
    default_route: str = ""  # of `route -n get default`
    firewall: str = ""  # of `socketfilterfw --getglobalstate`
    bootpd: str = ""  # of `socketfilterfw --getappblocked` for bootpd
    processes: frozenset[str] = frozenset()  # names of programs that run
    sharing: bool = False  # Internet Sharing is on


def see_network(leases: Path) -> NetworkState:
    """Runs macOS's own programs; elsewhere only the file is looked at."""
    try:
        with leases.open("rb"):
            readable: bool | None = True
    except FileNotFoundError:
        readable = None
    except OSError:
        readable = False
    if sys.platform != "darwin":
        return NetworkState(leases=leases, leases_readable=readable)
    names = _said("/bin/ps", "-axco", "comm=").split("\n")
    return NetworkState(
        leases=leases,
        leases_readable=readable,
        default_route=_said("/sbin/route", "-n", "get", "default"),
        firewall=_said(_FIREWALL, "--getglobalstate"),
        bootpd=_said(_FIREWALL, "--getappblocked", _BOOTPD),
        processes=frozenset(name.strip() for name in names),
        sharing=_is_sharing(),
    )


def findings(network: NetworkState) -> Iterator[Finding]:
    yield _leases(network)
    interface = _INTERFACE.search(network.default_route)
    if interface and _TUNNEL.fullmatch(interface[1]):
        yield Finding(
            id="network.vpn",
            level=Level.WARNING,
            text=f"a VPN carries all traffic ({interface[1]}): guests on vmnet then often reach "
            "nothing beyond this computer",
            hint="Let the VPN leave 192.168.64.0/24 alone (split tunnel), or connect it before "
            "`vx up`.",
        )
    if "enabled" in network.firewall and "block" in network.bootpd.lower():
        yield Finding(
            id="network.firewall",
            level=Level.ERROR,
            text="the firewall keeps bootpd from giving guests their addresses",
            hint=f"`sudo {_FIREWALL} --add {_BOOTPD} && sudo {_FIREWALL} --unblockapp {_BOOTPD}`",
        )
    if "dnsmasq" in network.processes:
        yield Finding(
            id="network.dnsmasq",
            level=Level.WARNING,
            text="dnsmasq runs on this computer; where it listens on every interface, guests on "
            "vmnet get no address",
            hint="Tell it `except-interface=bridge100`, or which addresses to listen on.",
        )
    if network.sharing:
        yield Finding(
            id="network.sharing",
            level=Level.WARNING,
            text="Internet Sharing is on; it uses the same bridge and DHCP server as guests do",
            hint="Turn it off under System Settings, Sharing, if guests get no address.",
        )


def _leases(network: NetworkState) -> Finding:
    if network.leases_readable is None:
        return Finding(
            id="network.leases",
            level=Level.NOTE,
            text=f"{network.leases} is not there yet: no guest ever asked for an address",
            hint="It is made at the first boot of a guest on vmnet.",
        )
    if not network.leases_readable:
        return Finding(
            id="network.leases",
            level=Level.ERROR,
            text=f"{network.leases} cannot be read: vx finds guests by it",
            hint=f"`sudo chmod a+r {network.leases}`",
        )
    return ok("network.leases", str(network.leases))


def _said(*argv: str) -> str:
    try:
        return child.run(argv, timeout_s=_TIMEOUT_S).output
    except HostError:
        return ""


def _is_sharing() -> bool:
    try:
        with open(_NAT, "rb") as file:
            table = plistlib.loads(file.read(_PLIST_MAX))
        return bool(table["NAT"]["Enabled"])
    except (OSError, ValueError, KeyError, TypeError, plistlib.InvalidFileException):
        return False
