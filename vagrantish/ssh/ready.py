"""Waiting for a guest: until it runs a command over ssh, or until it is clear that it will not."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.diagnosis.causes import State
from vagrantish.diagnosis.stages import Stage
from vagrantish.errors import HostKeyChanged
from vagrantish.ssh.trying import Tries
from vagrantish.ssh.watching import Guest, Sources
from vagrantish.units import format_duration
from vagrantish.wait import poll_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.events import Op
    from vagrantish.model import Address, Candidates
    from vagrantish.ssh.client import Client
    from vagrantish.ssh.peers import Peer, Peers
    from vagrantish.ssh.target import Target

__all__ = ["Patience", "Sources", "wait_ready"]

_POLL_S = 0.01
_QUIET_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a guest whose console is quiet is waited for after it should have answered."""

    quiet_s: float = 8.0  # it said that it has booted; more after a long boot: it is slow here too
    refused_s: float = 20.0  # it refuses the login: cloud-init may still make the user
    settled_s: float = 5.0  # the same, after our own script put user and keys in place
    foreign_s: float = 8.0  # its network is up, and another machine answers at its address


def wait_ready(
    find_addresses: Callable[[], Candidates],
    make_target: Callable[[Address], Target],
    sources: Sources,
    *,
    timeout_s: float,
    stall_s: float,
    started_at: float,
    op: Op,
    patience: Patience = Patience(),
) -> Client:
    """A connection over which ``true`` has run; its target has the address that proved itself.

    ``started_at`` is when the hypervisor was started, by ``time.monotonic``. Ends early with
    BootError: when console or error stream show that the guest will not come up, when the
    hypervisor ends, when the guest has booted and nothing answers, and when it got no further for
    ``stall_s``; with HostKeyChanged when something else answers where only the guest can, or
    nowhere but where something else does. Raises SSHError, MachineError, Cancelled.
    """
    # Takes as long as the guest needs for its firmware.
    threading.Thread(target=_import_client, name="vx-import", daemon=True).start()
    with op.step("boot", "Booting") as step:
        guest = Guest(sources, step, stall_s=stall_s, started_at=started_at)
        deadline = time.monotonic() + timeout_s
        tries = Tries(find_addresses, make_target, guest, deadline=deadline, op=step.op)
        guest.about_ssh = lambda: _states(guest, tries)

        def probe() -> Client | None:
            guest.look()
            client = tries.step()
            if client is None:
                _check(guest, tries, patience)
            return client

        try:
            client = poll_until(probe, timeout_s=timeout_s, interval_s=_POLL_S, cancel=op.cancel)
        except HostKeyChanged as error:
            error.stage = guest.stage.value
            raise
        finally:
            tries.drop()
        if client is None:
            raise guest.failure(
                f"the guest did not become ready within {format_duration(timeout_s)}",
                State.TIMED_OUT,
            )
        step.outcome = f"ready in {format_duration(time.monotonic() - started_at)}"
        return client


def _import_client() -> None:
    import vagrantish.ssh.client  # noqa: F401 - for its side effect: the next import is free


def _states(guest: Guest, tries: Tries) -> tuple[State, ...]:
    """What is wrong with the way in, as far as it is the guest's fault by now."""
    peers = tries.peers
    if peers.all_foreign:
        return (State.HOST_KEY,)
    if peers.refused_since is not None:
        return (State.LOGIN_REFUSED,)
    if not peers.current():
        return (State.NO_ADDRESS,) if guest.has(Stage.INIT) else ()
    if not peers.greeted and guest.is_at_its_end:
        return (State.NO_SSHD,)
    return ()


def _check(guest: Guest, tries: Tries, patience: Patience) -> None:
    """Raises BootError, HostKeyChanged when no more is to be expected."""
    now = time.monotonic()
    peers = tries.peers
    if foreign := peers.all_foreign:
        since = max(peer.foreign_since for peer in foreign)
        network_at = guest.reached_at(Stage.NETWORK)
        if network_at is not None and now - max(since, network_at) >= patience.foreign_s:
            raise _foreign_key(foreign[0], peers)
    refused_since = peers.refused_since
    if refused_since is not None and guest.reader.ready:
        if now - refused_since >= patience.settled_s:
            raise guest.failure("the guest has booted, and refuses the login")
        return
    if guest.quiet_s() < max(patience.quiet_s, _QUIET_SHARE * (now - guest.started_at)):
        return
    if guest.is_at_its_end and not peers.greeted and not peers.all_foreign:
        so_far = "the guest has booted" if guest.says_it_booted else "the guest does not come up"
        what = "no ssh server answers in it" if peers.current() else "it has no address"
        raise guest.failure(f"{so_far}: {what}")
    if refused_since is not None and guest.has(Stage.SSHD):
        is_done = guest.has(Stage.FIRST_BOOT)
        if now - refused_since >= (patience.quiet_s if is_done else patience.refused_s):
            raise guest.failure("the guest has booted, and refuses the login")


def _foreign_key(peer: Peer, peers: Peers) -> HostKeyChanged:
    """Nobody else answers."""
    assert peer.foreign is not None
    if not peers.are_several:
        return peer.foreign
    return HostKeyChanged(
        f"the guest shows itself at none of its addresses ({peers.told()})",
        hint=peer.foreign.hint,
    )
