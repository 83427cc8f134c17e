from __future__ import annotations

import pytest

from vagrantish.provider.guestnet.arp import Neighbour, parse

MAC = bytes.fromhex("9a051b12cf32")


@pytest.mark.parametrize(
    ("line", "device"),
    [
        ("? (192.168.64.7) at 9a:5:1b:12:cf:32 on bridge100 ifscope [bridge]", "bridge100"),
        ("? (192.168.64.7) at 9a:05:1b:12:cf:32 [ether] on virbr0", "virbr0"),
        ("? (192.168.64.7) at 9a:05:1B:12:cf:32 on em0 expires in 1153 seconds [ethernet]", "em0"),
        ("guest.local (192.168.64.7) at 9a:5:1b:12:cf:32 on en0 permanent", "en0"),
        ("? (192.168.64.7) at 9a:5:1b:12:cf:32 [bridge]", ""),
    ],
)
def test_a_line_of_any_system_is_read(line: str, device: str) -> None:
    assert parse(line + "\n") == (Neighbour(ip="192.168.64.7", mac=MAC, device=device),)


@pytest.mark.parametrize(
    "line",
    [
        "? (192.168.64.9) at (incomplete) on bridge100 ifscope [bridge]",
        "? (192.168.64.9) at <incomplete> on eth0",
        "? (8.8.8.8) at 9a:5:1b:12:cf:32 on en0",
        "? (224.0.0.251) at 1:0:5e:0:0:fb on en0 ifscope permanent [ethernet]",
        "? (192.168.64.9) at 9a:5:1b:12:cf:32:1:2 on en0",
        "? (192.168.64.9) at 9a:5:1b:12:cf on en0",
        "? (192.168.64.9) at 9a:5:1b:12:cf:3",
        "? (127.64.0.9) at 9a:5:1b:12:cf:32 on lo0",
        "arp: in 3 entries no match found.",
        "",
    ],
)
def test_what_names_no_neighbour_is_passed_over(line: str) -> None:
    sound = "? (192.168.64.7) at 9a:5:1b:12:cf:32 on bridge100"

    assert [found.ip for found in parse(f"{line}\n{sound}\n")] == ["192.168.64.7"]
