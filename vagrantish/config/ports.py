"""Ports of this computer that two forwards of a project cannot both have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vagrantish.config.layers import Layer
    from vagrantish.config.problems import Problems
    from vagrantish.config.resolve import Branch
    from vagrantish.toml import KeyPath

    Claim = tuple[str, int, str, str, Layer, KeyPath]  # proto, port, address, machine, place

_EVERYWHERE = "0.0.0.0"  # noqa: S104  compared with, never listened on
_LOOPBACK = "127.0.0.1"


def check_ports(machines: Sequence[tuple[str, Branch]], problems: Problems) -> None:
    """Those with ``auto = false``, and ``ssh.port``, are fixed; others give way."""
    taken: dict[tuple[str, int], list[Claim]] = {}
    for name, settings in machines:
        for claim in _claims(name, settings):
            proto, port, address, _, layer, path = claim
            for other in taken.setdefault((proto, port), []):
                if address == other[2] or _EVERYWHERE in (address, other[2]):
                    whose = "twice" if other[3] == name else f"by machine {other[3]} too"
                    message = f"port {port} of this computer is wanted {whose}"
                    hint = "use another, or let `auto` find one" if path[-1] != "port" else ""
                    problems.add(layer, path, message, hint, machine=name)
                    break
            taken[proto, port].append(claim)


def _claims(name: str, settings: Branch) -> Iterator[Claim]:
    ssh = settings.branches["ssh"]
    if ssh["port"]:
        yield ("tcp", ssh["port"], _LOOPBACK, name, *ssh.place("port"))
    for forward in settings.lists["forward"]:
        if forward["auto"] is False and forward["host"]:
            yield (
                forward["proto"] or "tcp",
                forward["host"],
                forward["host_ip"] or _LOOPBACK,
                name,
                *forward.place("host"),
            )
