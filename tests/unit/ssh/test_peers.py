"""Whose turn it is, of the addresses where a guest may be."""

from __future__ import annotations

from vagrantish.errors import HostKeyChanged
from vagrantish.model import Address, Candidates
from vagrantish.ssh.peers import Peer, Peers


def candidates(*hosts: str, certain: bool = False) -> Candidates:
    found = tuple(Address(host=host, port=22) for host in hosts)
    return Candidates(addresses=found, certain=certain)


def turn(peers: Peers) -> Peer:
    peer = peers.next()
    assert peer is not None
    return peer


def test_the_likeliest_comes_first_then_the_others_round_and_round() -> None:
    peers = Peers()
    peers.update(candidates("a", "b", "c"))

    assert [turn(peers).address.host for _ in range(5)] == ["a", "b", "c", "a", "b"]


def test_a_new_address_takes_its_place_and_one_that_is_gone_is_not_tried() -> None:
    peers = Peers()
    peers.update(candidates("a", "b"))
    turn(peers)
    peers.update(candidates("new", "a", "c"))

    assert [turn(peers).address.host for _ in range(3)] == ["c", "new", "a"]
    peers.update(candidates())
    assert peers.next() is None
    assert peers.told() == "the guest has no address yet"


def test_without_an_address_it_is_told_what_was_looked_for() -> None:
    peers = Peers()
    peers.update(Candidates(addresses=(), certain=False, note="no lease of web in /var/l"))

    assert peers.told() == "the guest has no address yet: no lease of web in /var/l"


def test_what_one_answered_is_kept_while_it_is_away() -> None:
    peers = Peers()
    peers.update(candidates("a"))
    turn(peers).said = "refuses"
    peers.update(candidates("b"))
    peers.update(candidates("a", "b"))

    assert peers.told() == "a: refuses; b: nothing answered yet"


def test_all_are_foreign_only_when_each_is() -> None:
    peers = Peers()
    peers.update(candidates("a", "b"))
    turn(peers).foreign = HostKeyChanged("another")

    assert peers.all_foreign == []
    turn(peers).foreign = HostKeyChanged("another")
    assert [peer.address.host for peer in peers.all_foreign] == ["a", "b"]


def test_no_address_at_all_is_not_foreign() -> None:
    assert Peers().all_foreign == []


def test_any_number_of_leases_is_bounded() -> None:
    peers = Peers()
    for number in range(50):
        peers.update(candidates(*(f"{number}-{index}" for index in range(1000)), "same"))

    peers.update(candidates("late"))
    assert [peer.address.host for peer in peers.current()] == ["late"]
    peers.update(candidates(*map(str, range(1000))))
    assert len(peers.current()) <= 64
    assert len(peers.told()) < 300
