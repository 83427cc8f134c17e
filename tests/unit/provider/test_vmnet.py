from __future__ import annotations

import plistlib
from typing import Any

import pytest

from vagrantish.provider.guestnet.vmnet import parse

UUID = "00112233-4455-6677-8899-aabbccddeeff"
SWAPPED = "33221100-5544-7766-8899-AABBCCDDEEFF"  # as vmnet keeps it (xhyve support/uuid.h)
MAC = bytes.fromhex("9a051b12cf32")
ENTRY = {"UUID_MAC": SWAPPED, "MAC_ADDRESS": MAC, "MAC_USED": True, "MAC_TIME_USED": 7}
SETTINGS = {
    "Shared_Net_Address": "192.168.64.1",
    "Shared_Net_Mask": "255.255.255.0",
    "MAC_ARRAY": [ENTRY],
}


@pytest.mark.parametrize("form", [plistlib.FMT_XML, plistlib.FMT_BINARY])
def test_the_network_and_the_mac_of_a_uuid_are_read(form: Any) -> None:
    found = parse(plistlib.dumps(SETTINGS, fmt=form))

    assert str(found.host) == "192.168.64.1/24"
    assert found.mac(UUID) == found.mac(UUID.upper()) == MAC
    assert found.mac(SWAPPED) is None
    assert found.mac("no uuid") is None


@pytest.mark.parametrize(
    "document",
    [
        {"v2": {"Shared": SETTINGS}},
        [SETTINGS],
        SETTINGS | {"MAC_ARRAY": [7, {"UUID_MAC": 7}, ENTRY | {"MAC_ADDRESS": "9a:5:1b:12:cf:32"}]},
        SETTINGS | {"MAC_ARRAY": {SWAPPED: ENTRY | {"UUID_MAC": bytes.fromhex(SWAPPED.replace("-", ""))}}},
    ],
)  # fmt: skip
def test_another_layout_is_looked_through(document: Any) -> None:
    found = parse(plistlib.dumps(document))

    assert (str(found.host), found.mac(UUID)) == ("192.168.64.1/24", MAC)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"bplist00", b"<plist>", b"<?xml version='1.0'?><plist><dict><key>a</key></plist>",
        b"<plist><dict><string>a</string></dict></plist>", b"<plist><integer>x</integer></plist>",
        plistlib.dumps(SETTINGS, fmt=plistlib.FMT_BINARY)[:-9],
        plistlib.dumps({"Shared_Net_Address": 7, "MAC_ARRAY": [{"UUID_MAC": "x", "MAC_ADDRESS": MAC}]}),
        b"<plist>" + b"<array>" * 5000 + b"</array>" * 5000 + b"</plist>",
    ],
)  # fmt: skip
def test_damage_tells_nothing(raw: bytes) -> None:
    found = parse(raw)

    assert (found.host, dict(found.macs)) == (None, {})
