"""What the doctor makes of what it saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vagrantish.lifecycle.doctor.examine import is_wanted
from vagrantish.lifecycle.doctor.finding import Finding, Level
from vagrantish.lifecycle.doctor.host import HomeState, HostState, home_findings, host_findings
from vagrantish.lifecycle.doctor.network import NetworkState, findings
from vagrantish.units import GIB, MIB

HOST = HostState(
    system="Darwin", release="macOS 13.6", macos=(13, 6), arch="x86_64", translated=False, cpus=4,
    memory_bytes=16 * GIB, python=(3, 12), ssh="/usr/bin/ssh", ssh_hint="",
)  # fmt: skip
HOME = HomeState(
    root=Path("/Users/me/.vx"), exists=True, writable=True, mode=0o700, owned=True,
    free_bytes=100 * GIB, foreign=(), longest_socket=40,
)  # fmt: skip
NETWORK = NetworkState(leases=Path("/var/db/dhcpd_leases"), leases_readable=True)

ROUTE_OF_A_VPN = """   route to: default
destination: default
    gateway: 10.8.0.1
  interface: utun4
      flags: <UP,GATEWAY,DONE,STATIC,PRCLONING,GLOBAL>
"""
ROUTE = ROUTE_OF_A_VPN.replace("utun4", "en0")


def wrong(found: list[Finding]) -> dict[str, Level]:
    return {f.id: f.level for f in found if f.level in (Level.WARNING, Level.ERROR)}


def test_of_a_good_host_nothing_is_wrong() -> None:
    assert wrong([*host_findings(HOST), *home_findings(HOME), *findings(NETWORK)]) == {}


@pytest.mark.parametrize(
    ("seen", "check", "level"),
    [
        ({"macos": (10, 15), "release": "macOS 10.15"}, "host.system", Level.WARNING),
        ({"translated": True}, "host.rosetta", Level.WARNING),
        ({"memory_bytes": 512 * MIB}, "host.memory", Level.WARNING),
        ({"ssh": "", "ssh_hint": "Install it."}, "host.ssh", Level.ERROR),
    ],
)
def test_what_is_wrong_with_a_host_is_told(seen: Any, check: str, level: Level) -> None:
    found = list(host_findings(replace(HOST, **seen)))

    assert wrong(found) == {check: level}
    assert all(f.hint for f in found if f.id == check)


@pytest.mark.parametrize(
    ("seen", "check", "level"),
    [
        ({"writable": False}, "host.home", Level.ERROR),
        ({"owned": False}, "host.home", Level.ERROR),
        ({"mode": 0o755}, "host.home", Level.WARNING),
        ({"longest_socket": 104}, "host.path-length", Level.ERROR),
        ({"root": Path("/Users/a,b/.vx")}, "host.path-comma", Level.WARNING),
        ({"free_bytes": 100 * MIB}, "host.space", Level.ERROR),
        ({"free_bytes": 3 * GIB}, "host.space", Level.WARNING),
        ({"foreign": (Path("/Users/me/.vx/boxes"),)}, "host.owner", Level.ERROR),
    ],
)
def test_what_is_wrong_with_the_home_is_told(seen: Any, check: str, level: Level) -> None:
    found = list(home_findings(replace(HOME, **seen)))

    assert wrong(found) == {check: level}
    assert all(f.hint for f in found if f.id == check)


@pytest.mark.parametrize(
    ("seen", "check", "level"),
    [
        ({"leases_readable": False}, "network.leases", Level.ERROR),
        ({"default_route": ROUTE_OF_A_VPN}, "network.vpn", Level.WARNING),
        (
            {
                "firewall": "Firewall is enabled. (State = 1)",
                "bootpd": "The application /usr/libexec/bootpd is blocked",
            },
            "network.firewall",
            Level.ERROR,
        ),
        ({"processes": frozenset({"launchd", "dnsmasq"})}, "network.dnsmasq", Level.WARNING),
        ({"sharing": True}, "network.sharing", Level.WARNING),
    ],
)
def test_what_comes_between_a_guest_and_its_network_is_told(
    seen: Any, check: str, level: Level
) -> None:
    assert wrong(list(findings(replace(NETWORK, **seen)))) == {check: level}


@pytest.mark.parametrize(
    "seen",
    [
        {"default_route": ROUTE},
        {
            "firewall": "Firewall is disabled. (State = 0)",
            "bootpd": "The application /usr/libexec/bootpd is blocked",
        },
        {
            "firewall": "Firewall is enabled. (State = 1)",
            "bootpd": "Incoming connection to /usr/libexec/bootpd is permitted",
        },
    ],
)
def test_what_harms_no_guest_is_no_finding(seen: Any) -> None:
    assert wrong(list(findings(replace(NETWORK, **seen)))) == {}


def test_leases_that_are_not_there_yet_are_worth_a_note() -> None:
    (found,) = findings(replace(NETWORK, leases_readable=None))

    assert (found.id, found.level) == ("network.leases", Level.NOTE)


@pytest.mark.parametrize(
    ("check", "areas", "wanted"),
    [
        ("host.space", (), True),
        ("host.space", ("host",), True),
        ("host.space", ("store", "host.space"), True),
        ("host.space", ("host.home",), False),
        ("hosts.space", ("host",), False),
    ],
)
def test_areas_and_single_checks_can_be_asked_for(
    check: str, areas: tuple[str, ...], *, wanted: bool
) -> None:
    assert is_wanted(check, areas) is wanted
