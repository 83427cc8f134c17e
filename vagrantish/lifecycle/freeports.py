"""Host ports that are free for forwards; whether they still are, binding them tells."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.provider import hostports

if TYPE_CHECKING:
    from vagrantish.model import Forward


def settle(
    forwards: tuple[Forward, ...], reasons: dict[int, str], machine: str
) -> tuple[Forward, ...]:
    """``forwards``, each on a port that is free now. Raises PortTaken, ProviderError.

    Why one was moved is added to ``reasons``, under its index.
    """
    picked = list(forwards)
    order = sorted(range(len(picked)), key=lambda i: (picked[i].auto, i))
    settled: list[Forward] = []
    for index in order:
        forward = picked[index]
        if forward.host == 0:
            forward = replace(forward, host=_any_port(forward, machine))
        twin = next((f for f in settled if hostports.overlap(forward, f)), None)
        error = 0 if twin is not None else hostports.bind_error(forward)
        if twin is not None or error:
            if not forward.auto or hostports.is_hopeless(error):
                raise hostports.refusal(forward, error, machine=machine, is_ssh=False, twin=twin)
            reasons[index] = _reason(forward, error, twin)
            others = (*settled, *(f for i, f in enumerate(picked) if i != index))
            forward = hostports.replacement(forward, error, others=others, tried=())
        picked[index] = forward
        settled.append(forward)
    return tuple(picked)


def _reason(forward: Forward, error: int, twin: Forward | None) -> str:
    if twin is not None:
        return "is wanted twice by this machine"
    if hostports.is_reserved(error):
        return "is reserved for root"
    return f"is taken by {hostports.holder(forward)}"


def _any_port(forward: Forward, machine: str) -> int:
    """One that is free now; OpenSSH takes no 0 for a port of its own host."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((forward.host_ip, 0))
        except OSError as error:
            raise hostports.refusal(
                forward, error.errno or 0, machine=machine, is_ssh=False
            ) from error
        port: int = probe.getsockname()[1]
        return port
