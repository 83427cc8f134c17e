"""What QEMU made of the host ports it was told.

Nothing here decides that a port may be had: QEMU binds it or refuses, and what it refuses is
looked into afterwards. So there is no moment between picking a port and having it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.model import Forward
from vagrantish.provider.running import option_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_ANYWHERE = "0.0.0.0"  # noqa: S104 - compared with, never bound
_RULE = re.compile(r"(tcp|udp):([0-9.]*):([0-9]+)-[0-9.]*:([0-9]+)")
_REFUSED = re.compile(r"Could not set up host forwarding rule '([^']*)'")
_USERNET = re.compile(r"\s*(TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+\S+\s+(\d+)\s")


def refused_rule(output: str) -> str | None:
    """The forwarding rule QEMU could not set up, as it prints it."""
    match = _REFUSED.search(output)
    return match[1] if match else None


def parse_usernet(listing: str) -> tuple[Forward, ...]:
    """The forwards in the answer to ``info usernet``, real host ports included."""
    rows = (match for line in listing.splitlines() if (match := _USERNET.match(line)))
    return tuple(
        Forward(
            proto=row[1].lower(),
            host_ip=_ANYWHERE if row[2] == "*" else row[2],
            host=int(row[3]),
            guest=int(row[4]),
        )
        for row in rows
    )


def resolve(wanted: tuple[Forward, ...], found: Iterable[Forward]) -> tuple[Forward, ...]:
    """``wanted`` with each host port of 0 replaced by the one QEMU picked; 0 stays where unknown.

    Two that lead to the same guest port from the same address are alike, so any order will do.
    """
    named = {_place(f) for f in wanted if f.host}
    picked = [f for f in found if _place(f) not in named]
    answer = []
    for forward in wanted:
        if forward.host == 0:
            alike = (
                f
                for f in picked
                if (f.proto, f.host_ip, f.guest) == (forward.proto, forward.host_ip, forward.guest)
            )
            match = next(alike, None)
            if match is not None:
                picked.remove(match)
                forward = replace(forward, host=match.host)
        answer.append(forward)
    return tuple(answer)


def forwards_in(argv: tuple[str, ...]) -> tuple[Forward, ...]:
    """The forwards in QEMU's own command line, ssh's first."""
    netdev = option_of(argv, "-netdev") or ""
    rules = (part.removeprefix("hostfwd=") for part in netdev.split(",") if "hostfwd=" in part)
    return tuple(
        Forward(proto=match[1], host_ip=match[2], host=int(match[3]), guest=int(match[4]))
        for rule in rules
        if (match := _RULE.fullmatch(rule))
    )


def _place(forward: Forward) -> tuple[str, str, int]:
    return (forward.proto, forward.host_ip, forward.host)
