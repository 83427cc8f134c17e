from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vagrantish.errors import PortTaken, ProviderError
from vagrantish.model import Forward
from vagrantish.provider.hostports import clash, refusal, unforwardable
from vagrantish.provider.qemu.argv import qemu_argv, wanted_forwards
from vagrantish.provider.qemu.ports import forwards_in, parse_usernet, refused_rule, resolve

if TYPE_CHECKING:
    from vagrantish.model import VmSpec
    from vagrantish.provider.base import HostFacts

SSH = Forward(guest=22, host=0)
# QEMU 7.2.22; the established connection is one of a browser's.
USERNET = (
    "Hub -1 (net0):\r\n"
    "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
    "  TCP[ESTABLISHED]   19       127.0.0.1 45135       10.0.2.15    80     0     0\r\n"
    "  TCP[HOST_FORWARD]  16       127.0.0.1 44931       10.0.2.15    22     0     0\r\n"
    "  TCP[HOST_FORWARD]  14               * 43547       10.0.2.15    22     0     0\r\n"
    "  TCP[HOST_FORWARD]  13       127.0.0.1 45135       10.0.2.15    80     0     0\r\n"
    "  UDP[HOST_FORWARD]  15       127.0.0.1 37184       10.0.2.15    53     0     0\r\n"
)


def test_the_real_ports_are_read_from_the_monitor() -> None:
    assert parse_usernet(USERNET) == (
        Forward(guest=22, host=44931),
        Forward(guest=22, host=43547, host_ip="0.0.0.0"),
        Forward(guest=80, host=45135),
        Forward(guest=53, host=37184, proto="udp"),
    )


@pytest.mark.parametrize("listing", ["", "nonsense", "TCP[HOST_FORWARD] x y z", "\0" * 100])
def test_nonsense_from_the_monitor_gives_no_ports(listing: str) -> None:
    assert parse_usernet(listing) == ()


def test_each_open_port_gets_the_one_of_its_own_kind() -> None:
    wanted = (
        SSH,
        Forward(guest=80, host=45135),
        Forward(guest=53, host=0, proto="udp"),
        Forward(guest=22, host=0, host_ip="0.0.0.0"),
    )

    settled = resolve(wanted, parse_usernet(USERNET))

    assert [forward.host for forward in settled] == [44931, 45135, 37184, 43547]


def test_a_port_given_by_name_is_not_taken_for_one_qemu_picked() -> None:
    wanted = (SSH, Forward(guest=22, host=2222))
    found = (Forward(guest=22, host=2222), Forward(guest=22, host=40000))

    assert [forward.host for forward in resolve(wanted, found)] == [40000, 2222]


def test_two_alike_get_different_ports() -> None:
    found = (Forward(guest=22, host=40000), Forward(guest=22, host=40001))

    assert {forward.host for forward in resolve((SSH, SSH), found)} == {40000, 40001}


def test_a_port_qemu_does_not_show_stays_unknown() -> None:
    assert resolve((SSH,), ()) == (SSH,)


def test_forwards_are_read_back_from_qemus_own_command_line(vm: VmSpec, host: HostFacts) -> None:
    vm = replace(vm, ssh_port=2222, forwards=(Forward(guest=53, host=0, proto="udp"),))

    assert forwards_in(qemu_argv(vm, host)) == wanted_forwards(vm)


def test_another_command_line_has_no_forwards() -> None:
    assert forwards_in(("sleep", "-netdev")) == ()
    assert forwards_in(("qemu", "-netdev", "tap,id=n0")) == ()


def test_the_refused_rule_is_found_in_qemus_complaint() -> None:
    output = (
        "qemu-system-x86_64: -netdev user,id=n0,hostfwd=tcp:127.0.0.1:8099-:80: "
        "Could not set up host forwarding rule 'tcp:127.0.0.1:8099-:80'"
    )

    assert refused_rule(output) == "tcp:127.0.0.1:8099-:80"
    assert refused_rule("could not open kernel file") is None


@pytest.mark.parametrize(
    ("forwards", "index"),
    [
        ((SSH, SSH), None),
        ((SSH, Forward(guest=80, host=8080), Forward(guest=81, host=8081)), None),
        ((SSH, Forward(guest=80, host=8080), Forward(guest=80, host=8080, proto="udp")), None),
        ((SSH, Forward(guest=80, host=8080), Forward(guest=81, host=8080)), 2),
        (
            (SSH, Forward(guest=80, host=8080), Forward(guest=81, host=8080, host_ip="0.0.0.0")),
            2,
        ),
        (
            (SSH, Forward(guest=80, host=8080), Forward(guest=81, host=8080, host_ip="127.0.0.2")),
            None,
        ),
        # One that may move gives way to one that may not, ssh's to any other.
        ((SSH, Forward(guest=80, host=8080), Forward(guest=81, host=8080, auto=False)), 1),
        ((Forward(guest=22, host=8080), Forward(guest=80, host=8080)), 0),
    ],
)
def test_forwards_of_one_machine_that_want_one_port_are_seen(
    forwards: tuple[Forward, ...], index: int | None
) -> None:
    assert clash(forwards) == index


def test_a_port_wanted_twice_names_both_uses() -> None:
    one, other = Forward(guest=80, host=8080), Forward(guest=81, host=8080)

    error = refusal(one, 0, machine="web", is_ssh=False, twin=other)

    assert isinstance(error, PortTaken)
    assert "guest port 80 and for guest port 81" in error.message
    assert "host" in error.hint


@pytest.mark.parametrize(
    ("reason", "is_ssh", "message", "hint"),
    [
        (errno.EACCES, False, "reserved for root", "auto = true"),
        (errno.EACCES, True, "reserved for root", "[ssh]"),
        (errno.EADDRNOTAVAIL, False, "10.9.9.9 is no address of this host", "host_ip"),
        (errno.EINVAL, False, "Invalid argument", "host_ip"),
    ],
)
def test_each_reason_for_a_refusal_has_its_own_way_out(
    reason: int, is_ssh: bool, message: str, hint: str
) -> None:
    forward = Forward(guest=80, host=80, host_ip="10.9.9.9")

    error = refusal(forward, reason, machine="web", is_ssh=is_ssh)

    assert isinstance(error, ProviderError)
    assert message in error.message
    assert hint in error.hint


def test_udp_is_refused_where_ssh_forwards() -> None:
    wanted = (Forward(guest=80, host=8080), Forward(guest=53, host=5353, proto="udp"))

    (problem,) = unforwardable(wanted, provider="xhyve")

    assert "guest port 53" in problem.message
    assert "udp" in problem.message
    assert "xhyve" in problem.message
    assert "qemu" in problem.hint
