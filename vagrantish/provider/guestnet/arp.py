"""Who has which address by ``arp -an``; an entry is there only once something was sent."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from functools import lru_cache

from vagrantish.errors import HostError
from vagrantish.provider import child
from vagrantish.provider.guestnet.addresses import guest_ip, mac_of

_PROGRAMS = ("/usr/sbin/arp", "/sbin/arp", "/usr/bin/arp")
_LOOK_S = 2.0
_LINES_MAX = 10_000
_OUTPUT_MAX = 1 << 20  # the networks this host is in besides may be large
# "? (10.0.0.7) at 9a:5:1b:12:cf:32 on bridge100 ifscope [bridge]"; Linux has "[ether]" before "on".
# More always follows the MAC, so where nothing does it may have been cut.
_ENTRY = re.compile(r"\S{0,255} ?\(([0-9.]{7,15})\) at ([0-9A-Fa-f:]{11,17}) ", re.ASCII)
_DEVICE = re.compile(r" on (\S{1,32})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    ip: str
    mac: bytes
    device: str  # "" where it is not told


def parse(text: str) -> tuple[Neighbour, ...]:
    """Lines of macOS, FreeBSD and Linux; addresses nobody answered for have none."""
    found = []
    for line in text.split("\n", _LINES_MAX)[:_LINES_MAX]:
        match = _ENTRY.match(line)
        ip, mac = (guest_ip(match[1]), mac_of(match[2])) if match else (None, None)
        if match is None or ip is None or mac is None:
            continue
        device = _DEVICE.search(line, match.end() - 1)
        found.append(Neighbour(ip=ip, mac=mac, device=device[1] if device else ""))
    return tuple(found)


def recent() -> tuple[Neighbour, ...]:
    """What it said within the last second: a guest is looked for many times in one."""
    return _look_in(int(time.monotonic()))


@lru_cache(maxsize=1)
def _look_in(_second: int) -> tuple[Neighbour, ...]:
    return look()


def look(programs: tuple[str, ...] = _PROGRAMS) -> tuple[Neighbour, ...]:
    """What the first program there says now; nothing where it says nothing of use."""
    program = next((path for path in programs if os.access(path, os.X_OK)), None)
    if program is None:
        return ()
    try:
        finished = child.run((program, "-an"), timeout_s=_LOOK_S, output_max=_OUTPUT_MAX)
    except HostError:
        return ()
    return parse(finished.output)
