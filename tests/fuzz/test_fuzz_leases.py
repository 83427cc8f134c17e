from __future__ import annotations

import plistlib
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.budget import rounds
from vagrantish.provider.guestnet import arp, leases, vmnet
from vagrantish.provider.guestnet.addresses import guest_ip
from vagrantish.provider.guestnet.find import Wanted, candidates, snapshot

_PIECES = st.sampled_from(
    (
        b"{\n", b"}\n", b"\t", b"\n", b"\r\n", b"name=", b"web", b"ip_address=", b"192.168.64.7",
        b"8.8.8.8", b"127.64.0.7", b"127.0.0.1", b"hw_address=", b"1,9a:5:1b:12:cf:32", b"ff,f1:f5:dd:7f:0:2:0:0:ab:11", b"=",
        b"identifier=", b"lease=", b"0x68a0c1f4", b"0xffffffffffffffffff", b"\xff", b"\0", b":",
        b"\xe2\x80\xa8", b"? (192.168.64.7) at ", b"9a:5:1b:12:cf:32", b" on bridge100", b"(incomplete)",
    )
)  # fmt: skip
_RAW = st.lists(st.one_of(_PIECES, st.binary(max_size=6)), max_size=120).map(b"".join)


@settings(max_examples=rounds(150), deadline=None)
@given(_RAW)
def test_any_leases_give_addresses_of_guests_only(raw: bytes) -> None:
    assert all(guest_ip(lease.ip) == lease.ip for lease in leases.parse(raw))
    found = leases.parse(raw, loopback=True)

    for lease in found:
        assert guest_ip(lease.ip, loopback=True) == lease.ip
        assert lease.ip.encode() in raw
        assert lease.mac is None or len(lease.mac) == 6
        assert not lease.name or lease.name.isprintable()
    wanted = Wanted(mac=bytes.fromhex("9a051b12cf32"), hostname="web")
    near = candidates(wanted, found, snapshot(found[1:]), (), 0)
    assert {each.ip for each in near} <= {lease.ip for lease in found}


@settings(max_examples=rounds(100), deadline=None)
@given(_RAW)
def test_any_table_of_arp_gives_neighbours_only(raw: bytes) -> None:
    for neighbour in arp.parse(raw.decode("utf-8", "replace")):
        assert guest_ip(neighbour.ip) == neighbour.ip
        assert len(neighbour.mac) == 6


@settings(max_examples=rounds(100), deadline=None)
@given(st.data())
def test_a_broken_list_of_properties_is_read_or_counts_as_empty(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from((plistlib.FMT_XML, plistlib.FMT_BINARY)))
    entry = {"UUID_MAC": "33221100-5544-7766-8899-AABBCCDDEEFF", "MAC_ADDRESS": bytes(6)}
    raw = bytearray(
        plistlib.dumps({"Shared_Net_Address": "192.168.64.1", "MAC_ARRAY": [entry] * 3}, fmt=form)
    )
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))

    found = vmnet.parse(bytes(raw))

    assert all(len(mac) == 6 for mac in found.macs.values())


def test_the_largest_files_taken_are_read_soon() -> None:
    started = time.monotonic()

    for piece in (b"{\n", b"}\n", b"{\n}\n", b"{\nip_address=10.0.0.1\n}\n", b"\thw_address=1,", b":1", b"\n", b"=", b"x"):  # fmt: skip
        raw = piece * (leases.SIZE_MAX // len(piece))
        leases.parse(raw)
        leases.parse(b"{\n\thw_address=" + raw)
        arp.parse(("? (10.0.0.1) at " + raw.decode())[: 1 << 20])

    assert time.monotonic() - started < 20
