from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vagrantish.provider.bhyve.leases import Lease, addresses_of, parse

NOW = 1_000_000.0
MAC = "58:9c:fc:0a:00:07"
# As dnsmasq 2.90 writes it; made up.
FILE = b"""1086400 58:9c:fc:0a:00:07 10.0.0.21 web 01:58:9c:fc:0a:00:07
1086000 58:9c:fc:0b:11:22 10.0.0.22 * *
0 06-58:9c:fc:0c:00:01 10.0.0.23 fixed ff:00:01
duid 00:01:00:01:2a:bb:cc:dd:58:9c:fc:00:00:01
1086400 1234 fd00::21 web 00:01
"""


def test_a_line_is_a_lease() -> None:
    first, second, third = parse(FILE)

    assert first == Lease(
        ip="10.0.0.21",
        mac=bytes.fromhex("589cfc0a0007"),
        name="web",
        expires_at=1086400,
    )
    assert second.name == ""
    assert (third.mac, third.expires_at) == (bytes.fromhex("589cfc0c0001"), inf)


def test_a_guest_is_found_by_numbers_and_not_by_letters() -> None:
    assert addresses_of(parse(FILE), "58:9C:FC:A:0:7", now=NOW) == ("10.0.0.21",)


def test_the_lease_that_runs_longest_comes_first_and_what_ran_out_last() -> None:
    lines = b"".join(
        f"{expiry} {MAC} 10.0.0.{host} * *\n".encode()
        for expiry, host in ((900_000, 1), (1_000_100, 2), (0, 3), (1_000_200, 4), (1_000_200, 4))
    )

    assert addresses_of(parse(lines), MAC, now=NOW) == (
        "10.0.0.3", "10.0.0.4", "10.0.0.2", "10.0.0.1",
    )  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [b"", b"x", b"soon 58:9c:fc:0a:00:07 10.0.0.1", b"1 nomac 10.0.0.1", b"1 1:2:3:4:5:6 8.8.8.8"],
)
def test_what_is_no_lease_is_passed_over(line: bytes) -> None:
    assert len(parse(line + b"\n" + FILE)) == 3


def test_a_guest_behind_loopback_is_believed_only_where_it_is_said() -> None:
    line = f"0 {MAC} 127.64.0.7 * *\n".encode()

    assert parse(line) == ()
    assert [lease.ip for lease in parse(line, loopback=True)] == ["127.64.0.7"]


@given(st.binary(max_size=300))
def test_no_bytes_are_too_odd(raw: bytes) -> None:
    assert isinstance(parse(raw), tuple)
