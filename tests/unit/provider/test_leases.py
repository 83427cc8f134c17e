from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.hyve import leases as written
from vagrantish.provider.guestnet import leases
from vagrantish.provider.guestnet.leases import ClientId, Lease, parse

MAC = bytes.fromhex("9a051b12cf32")
TINY = (
    b"{\n\tname=tiny\n\tip_address=192.168.64.7\n\thw_address=1,9a:5:1b:12:cf:32\n"
    b"\tidentifier=1,9a:5:1b:12:cf:32\n\tlease=0x68a0c1f4\n}\n"
)
UBUNTU = (
    b"{\n\tname=ubuntu\n\tip_address=192.168.64.5\n"
    b"\thw_address=ff,f1:f5:dd:7f:0:2:0:0:ab:11:7c:3e:90:1:aa:5d:44:9\n"
    b"\tidentifier=ff,f1:f5:dd:7f:0:2:0:0:ab:11:7c:3e:90:1:aa:5d:44:9\n\tlease=0x68a0bd10\n}\n"
)


def entry(**fields: str) -> bytes:
    lines = {"ip_address": "192.168.64.7", "hw_address": "1,9a:5:1b:12:cf:32"} | fields
    return ("{\n" + "".join(f"\t{k}={v}\n" for k, v in lines.items()) + "}\n").encode()


def ips(raw: bytes) -> list[str]:
    return [lease.ip for lease in parse(raw)]


def test_an_entry_is_read_with_its_octets_without_leading_zeros() -> None:
    by_mac = ClientId(type=1, octets=MAC)

    assert parse(TINY) == (
        Lease(
            ip="192.168.64.7", name="tiny", hardware=by_mac, identifier=by_mac, expires=0x68A0C1F4
        ),
    )


def test_of_a_duid_no_mac_is_known() -> None:
    (lease,) = parse(UBUNTU)

    assert lease.hardware is not None
    assert (lease.hardware.type, len(lease.hardware.octets), lease.mac) == (0xFF, 18, None)


@pytest.mark.parametrize(
    "duid", ["0:3:0:1:9a:5:1b:12:cf:32", "0:1:0:1:2e:aa:bb:cc:9a:5:1b:12:cf:32"]
)
def test_a_duid_made_of_the_mac_tells_it(duid: str) -> None:
    (lease,) = parse(entry(hw_address=f"ff,12:cf:32:0:{duid}"))

    assert lease.mac == MAC


def test_a_last_entry_cut_anywhere_is_not_believed() -> None:
    for length in range(len(UBUNTU) - 1):
        assert ips(TINY + UBUNTU[:length]) == (
            ["192.168.64.7", "192.168.64.5"] if UBUNTU[:length].endswith(b"}") else ["192.168.64.7"]
        )


def test_an_entry_that_begins_inside_another_counts_alone() -> None:
    assert ips(UBUNTU[:40] + b"\n" + TINY) == ["192.168.64.7"]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (TINY.replace(b"\n", b"\r\n"), "lines of DOS"),
        (TINY.replace(b"\t", b"    "), "another indent"),
        (TINY.replace(b"\tlease", b"\tclass=7\n\tnoise\n\t=\n\tlease"), "keys nobody knows"),
        (b"# a comment\n\n" + TINY + b"trailing", "text around it"),
        (TINY.replace(b"name=tiny", b"name=\xff\xfe\x00"), "a name that is no text"),
        (TINY.removesuffix(b"\n"), "no newline at the end"),
    ],
)
def test_what_is_odd_around_an_address_does_not_hide_it(raw: bytes, why: str) -> None:
    (lease,) = parse(raw)

    assert (lease.ip, lease.mac) == ("192.168.64.7", MAC), why


@pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r", "}", "{", "="])
def test_a_host_name_adds_no_lines(odd: str) -> None:
    name = f"x{odd}\tip_address=10.6.6.6{odd}}}{odd}{{{odd}\tip_address=10.6.6.6"

    (lease,) = parse(entry(name=name))

    assert (lease.ip, lease.mac) == ("192.168.64.7", MAC)


def test_an_entry_with_two_addresses_is_not_believed() -> None:
    assert ips(entry(name="x\n\tip_address=10.6.6.6") + UBUNTU) == ["192.168.64.5"]


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.168.64", "::1",
     "192.168.064.7", "192.168.64.256", "127.0.0.1", "127.64.0.7",
     "169.254.1.1", "172.32.0.1", "100.64.0.7", "192.0.2.1", "١٩٢.168.64.7", "localhost", ""],
)  # fmt: skip
def test_only_an_address_a_guest_may_have_is_believed(address: str) -> None:
    assert ips(entry(ip_address=address)) == []


@pytest.mark.parametrize("address", ["10.0.0.2", "172.16.0.2", "172.31.255.2", "192.168.0.2"])
def test_every_private_network_may_hold_guests(address: str) -> None:
    assert ips(entry(ip_address=address)) == [address]


@pytest.mark.parametrize(
    ("address", "is_believed"),
    [("127.64.0.7", True), ("127.127.255.2", True), ("127.0.0.1", False), ("127.128.0.1", False),
     ("8.8.8.8", False), ("192.168.64.7", True)],
)  # fmt: skip
def test_guests_behind_loopback_are_believed_where_it_is_said_and_this_host_is_none(
    address: str, is_believed: bool
) -> None:
    found = parse(entry(ip_address=address), loopback=True)

    assert [lease.ip for lease in found] == ([address] if is_believed else [])


@pytest.mark.parametrize(
    "hardware",
    ["", "1", "1,", ",9a", "1,9a:5:1b:12:cf", "1,9a:5:1b:12:cf:32:1", "1,9a:5:1b:12:cf:333",
     "1,9a:5:1b:12:cf:-1", "zz,9a:5:1b:12:cf:32", "1 9a:5:1b:12:cf:32", "6,9a:5:1b:12:cf:32"],
)  # fmt: skip
def test_hardware_that_is_none_gives_no_mac(hardware: str) -> None:
    (lease,) = parse(entry(hw_address=hardware))

    assert lease.mac is None


@pytest.mark.parametrize(
    ("text", "expires"),
    [("0x10", 16), ("10", 16), ("0xffffffff", 2**32 - 1), ("-1", 0), ("0x", 0), ("0x1_0", 0),
     ("soon", 0), ("0x" + "f" * 17, 0), ("0x0x1", 0)],
)  # fmt: skip
def test_the_expiry_is_hexadecimal_or_unknown(text: str, expires: int) -> None:
    (lease,) = parse(entry(lease=text))

    assert lease.expires == expires


def test_entries_and_bytes_are_bounded() -> None:
    assert len(parse(TINY * (leases.ENTRIES_MAX + 5))) == leases.ENTRIES_MAX
    assert ips(b"{\n\tname=" + b"x" * leases.SIZE_MAX + b"\n}\n" + TINY) == []


@given(
    st.lists(
        st.builds(
            written.Lease,
            address=st.integers(2, 254).map("192.168.64.{}".format),
            mac=st.binary(min_size=6, max_size=6),
            name=st.text(st.characters(codec="utf-8"), max_size=20),
            client_id=st.one_of(st.just(b""), st.binary(min_size=6, max_size=6).map(written.duid_of)),
            expires=st.integers(1, 2**40),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_what_the_stand_in_writes_is_read_back(made: list[written.Lease]) -> None:
    text = "".join(written.text_of(lease) for lease in made)

    found = parse(text.encode())

    assert [(f.ip, f.expires) for f in found] == [(m.address, m.expires) for m in made]
    assert [f.mac for f in found] == [None if m.client_id else m.mac for m in made]
