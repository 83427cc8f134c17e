"""Learns a guest's MAC before its first start: vmnet picks it from the UUID, and xhyve tells it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vagrantish.errors import MachineBusy, ProviderError
from vagrantish.provider import child
from vagrantish.provider.base import UuidRefused
from vagrantish.provider.supervisor.holders import holders, program_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vagrantish.diagnosis.verdict import Verdict
    from vagrantish.events import Op
    from vagrantish.provider.child import Finished

_MAC_S = 30.0
_MAC = re.compile(r"^MAC: ([0-9a-fA-F]{1,2}(?::[0-9a-fA-F]{1,2}){5})$", re.MULTILINE)
_VMNET = "Could not create vmnet interface"
# Of a program that has no -M, which v0.2.0 has not (xhyve src/xhyve.c:861).
_UNKNOWN_OPTION = "illegal option -- M"


def learn(
    argv: tuple[str, ...],
    *,
    uuid: str,
    env: Mapping[str, str],
    own_session: bool,
    name: str,
    op: Op,
) -> str:
    """What ``argv``, a command with -M that ends at its network card, says; "" where it cannot.

    Neither kernel nor disks need exist: both come after the card. Raises UuidRefused, MachineBusy
    when a process has the UUID, which vmnet gives out once, ProviderError, Cancelled.
    """
    finished = child.run(
        argv, timeout_s=_MAC_S, cancel=op.cancel, own_session=own_session, extra_env=env
    )
    mac = mac_in(finished.output)
    if mac or _UNKNOWN_OPTION in finished.output:
        return mac
    holder = next(iter(holders(uuid, program_of(argv))), None)
    if holder is not None:
        raise MachineBusy(
            f"machine {name} is already running (pid {holder.pid})",
            hint=f"Run `vx halt {name}` first.",
        )
    raise refusal(finished, name)


def mac_in(output: str) -> str:
    """The MAC that -M printed, two digits an octet; "" without one (xhyve
    src/pci_virtio_net_vmnet.c:756-763)."""
    found = _MAC.search(output)
    if found is None:
        return ""
    return ":".join(f"{int(octet, 16):02x}" for octet in found[1].split(":"))


def refusal(finished: Finished, name: str) -> ProviderError:
    """Why there is no MAC. Pure.

    vmnet has one text for every reason (xhyve src/pci_virtio_net_vmnet.c:298-302), and for a UUID
    it cannot read there is none at all (:245-249).
    """
    said = finished.output.rpartition("\n")[2][:300]
    is_silent = finished.status == 1 and not said
    if _VMNET in finished.output or is_silent:
        return UuidRefused(
            f"macOS gave machine {name} no network interface",
            hint="It needs root, or a build of xhyve with the vmnet entitlement; `vx doctor` checks "
            "both. A firewall or another hypervisor may be in the way too.",
        )
    if finished.status is None:
        return ProviderError(
            f"{name}'s hypervisor did not tell its MAC within {_MAC_S:g} s",
            hint="Run `vx doctor`.",
        )
    verdict = _verdict(finished)
    message = f"the MAC of machine {name} cannot be learnt: {said or f'status {finished.status}'}"
    if verdict is None or not verdict.message:
        return ProviderError(message, hint="Run `vx doctor`.")
    return ProviderError(f"{message}\n{verdict.message}", hint=verdict.hint)


def _verdict(finished: Finished) -> Verdict | None:
    """It fails as a start would, and on a new machine sooner."""
    from vagrantish.diagnosis.causes import Place
    from vagrantish.diagnosis.endings import classify
    from vagrantish.diagnosis.reader import Reader

    reader = Reader()
    reader.feed(finished.output.encode() + b"\n", Place.STDERR)
    reader.end(
        classify(
            "xhyve",
            status=finished.status or 0,
            seconds=finished.seconds,
            printed=False,
            stderr=finished.output,
        )
    )
    return reader.verdict()
