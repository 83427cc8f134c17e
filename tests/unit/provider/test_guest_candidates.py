from __future__ import annotations

import json

from vagrantish.provider.guestnet.arp import Neighbour
from vagrantish.provider.guestnet.find import Wanted, candidates, snapshot
from vagrantish.provider.guestnet.leases import DUID, ETHERNET, ClientId, Lease

MAC, OTHER = bytes.fromhex("9a051b12cf32"), bytes.fromhex("9a0600000001")
NOW = 1000
WEB = Wanted(mac=MAC, hostname="web")


def lease(last: int, *, mac: bytes | None = MAC, name: str = "", expires: int = NOW + 500) -> Lease:
    """Without a MAC it is one with a DUID."""
    told = ClientId(type=ETHERNET, octets=mac) if mac else ClientId(type=DUID, octets=bytes(18))
    return Lease(
        ip=f"192.168.64.{last}", name=name, hardware=told, identifier=told, expires=expires
    )


def found(
    wanted: Wanted,
    *known: Lease,
    before: dict[str, str] | None = None,
    arp: tuple[Neighbour, ...] = (),
) -> list[str]:
    return [each.ip.rpartition(".")[2] for each in candidates(wanted, known, before, arp, NOW)]


def test_of_several_leases_of_its_mac_the_longest_comes_first() -> None:
    assert found(WEB, lease(2), lease(3, expires=NOW + 900), lease(4, mac=OTHER)) == ["3", "2"]


def test_surer_signs_come_before_weaker_ones_and_expired_leases_last() -> None:
    known = (
        lease(7, mac=None),
        lease(6, expires=NOW),
        lease(5, mac=None, name="web", expires=NOW + 100),
        lease(3),
    )
    arp = (
        Neighbour(ip="192.168.64.8", mac=OTHER, device=""),
        Neighbour(ip="192.168.64.4", mac=MAC, device="bridge100"),
    )

    assert found(WEB, *known, before={}, arp=arp) == ["3", "4", "5", "7", "6"]


def test_where_it_answered_before_in_this_run_comes_first_and_once() -> None:
    known = (lease(3), lease(4, expires=NOW + 900))

    assert found(Wanted(mac=MAC, reached_at="192.168.64.3"), *known) == ["3", "4"]
    assert found(Wanted(mac=MAC, reached_at="192.168.64.9"), *known) == ["9", "4", "3"]


def test_a_namesake_with_another_mac_is_another_guest() -> None:
    assert found(WEB, lease(2, mac=OTHER, name="web")) == []


def test_without_a_mac_the_name_decides_those_with_a_duid_first() -> None:
    by_name = Wanted(mac=None, hostname="web.example.org")
    known = (
        lease(2, mac=OTHER, name="WEB", expires=NOW + 900),
        lease(3, mac=None, name="web"),
        lease(4, mac=None, name="db"),
        lease(5, mac=None),
    )

    assert found(by_name, *known) == ["3", "2"]


def test_without_any_name_what_is_new_or_was_given_anew_since_the_start_counts() -> None:
    old, renewed, new = lease(2), lease(3), lease(4)
    before = json.loads(json.dumps(snapshot((old, lease(3, expires=NOW + 1)))))

    assert found(Wanted(mac=None), old, renewed, new, before=before) == ["3", "4"]
    assert found(Wanted(mac=None), old, renewed, new) == []


def test_each_address_is_told_once_with_how_it_was_found() -> None:
    arp = (Neighbour(ip="192.168.64.3", mac=MAC, device=""),)

    (first,) = candidates(WEB, (lease(3, name="web"), lease(3)), None, arp, NOW)

    assert first.how == "lease of 9a:05:1b:12:cf:32 in /var/db/dhcpd_leases"


def test_a_file_full_of_leases_gives_no_more_than_can_be_tried() -> None:
    assert len(found(WEB, *(lease(n) for n in range(2, 250)))) == 16
    many = tuple(
        Lease(ip=f"10.0.{n // 250}.{n % 250}", name="", hardware=None, identifier=None, expires=n)
        for n in range(5000)
    )
    assert len(snapshot(many)) == 500
    assert "10.0.19.249" in snapshot(many)
