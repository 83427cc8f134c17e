"""Where a guest may be, and what answered there. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vagrantish.errors import HostKeyChanged
    from vagrantish.model import Address, Candidates

_NO_ADDRESS = "the guest has no address yet"
_SHOWN_MAX = 4
_KEPT_MAX = 64  # leases are written by whoever asked for one


@dataclass(kw_only=True)
class Peer:
    """One address, and how far a connection to it came."""

    address: Address
    said: str = "nothing answered yet"
    greeted: bool = False  # something there speaks ssh
    foreign: HostKeyChanged | None = None  # and shows another machine's key
    foreign_since: float = 0.0
    refused_since: float | None = None  # the right guest does not take the key
    refusals: int = 0


@dataclass
class Peers:
    """Every address so far, tried in turn."""

    certain: bool = True
    note: str = ""  # how they were found, or what was looked for in vain
    _known: dict[Address, Peer] = field(default_factory=dict)
    _order: tuple[Address, ...] = ()
    _last: Address | None = None

    def update(self, candidates: Candidates) -> None:
        """Those that are no longer candidates are not tried again; what they said is kept."""
        self.certain, self.note = candidates.certain, candidates.note
        self._order = tuple(dict.fromkeys(candidates.addresses))[:_KEPT_MAX]
        for address in self._order:
            self._known.setdefault(address, Peer(address=address))
        if len(self._known) > 2 * _KEPT_MAX:
            self._known = {address: self._known[address] for address in self._order}

    def next(self) -> Peer | None:
        """Whose turn it is: the likeliest first, then round and round."""
        if not self._order:
            return None
        at = self._order.index(self._last) + 1 if self._last in self._order else 0
        self._last = self._order[at % len(self._order)]
        return self._known[self._last]

    def current(self) -> list[Peer]:
        return [self._known[address] for address in self._order]

    @property
    def are_several(self) -> bool:
        return len(self._order) > 1

    @property
    def all_foreign(self) -> list[Peer]:
        """All there are, when each of them is another machine; else none."""
        peers = self.current()
        return peers if all(peer.foreign is not None for peer in peers) else []

    @property
    def refused_since(self) -> float | None:
        """Since when the guest, and no other, does not take the key."""
        times = [p.refused_since for p in self.current() if p.refused_since is not None]
        return min(times, default=None)

    @property
    def greeted(self) -> bool:
        return any(peer.greeted and peer.foreign is None for peer in self.current())

    def told(self) -> str:
        """What answered, for a message."""
        peers = self.current()
        if not peers:
            return f"{_NO_ADDRESS}: {self.note}" if self.note else _NO_ADDRESS
        if len(peers) == 1:
            return peers[0].said
        shown = [f"{peer.address.host}: {peer.said}" for peer in peers[:_SHOWN_MAX]]
        more = len(peers) - _SHOWN_MAX
        return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")
