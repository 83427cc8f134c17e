"""The command lines of the ssh that keeps forwards open."""

from __future__ import annotations

from pathlib import Path

import pytest

from vagrantish.errors import HostError
from vagrantish.model import Forward
from vagrantish.ssh.target import Target
from vagrantish.ssh.tunnel import SOCKET, exit_argv, master_argv, reach_argv


def target() -> Target:
    return Target(
        address_host="192.168.64.7",
        address_port=22,
        user="vx",
        key_file=Path("/home/me/.vx/id_ed25519"),
        known_hosts=Path("/home/me/.vx/known_hosts"),
        alias="vx-abc",
        forward_agent=True,
    )


def argv(*forwards: Forward) -> tuple[str, ...]:
    return master_argv("/usr/bin/ssh", target(), forwards, machine="web")


def test_a_forward_leads_from_its_address_to_the_guests_own_loopback() -> None:
    words = argv(
        Forward(guest=80, host=8080), Forward(guest=5432, host=15432, host_ip="192.168.1.2")
    )

    assert [word for word in words if word.startswith("-L")] == [
        "-L127.0.0.1:8080:127.0.0.1:80",
        "-L192.168.1.2:15432:127.0.0.1:5432",
    ]


def test_it_ends_rather_than_ask_or_open_a_part_and_notices_a_guest_that_went_away() -> None:
    words = argv(Forward(guest=80, host=8080))

    assert words[0] == "/usr/bin/ssh"
    assert {"-M", "-N", "-T"} <= set(words)
    assert {
        "-oBatchMode=yes",
        "-oExitOnForwardFailure=yes",
        "-oControlPersist=no",
        f"-oControlPath={SOCKET}",
        "-oStrictHostKeyChecking=yes",
        "-oServerAliveCountMax=3",
    } <= set(words)


def test_it_goes_to_the_guests_address_by_the_machines_name_and_lends_no_agent() -> None:
    words = argv(Forward(guest=80, host=8080))

    assert words[words.index(f"-oControlPath={SOCKET}") - 1] == "web"
    assert "-oHostName=192.168.64.7" in words
    assert "-oForwardAgent=no" in words


def test_the_first_log_level_is_the_one_that_tells_of_refused_connections() -> None:
    levels = [word for word in argv(Forward(guest=80, host=8080)) if "LogLevel" in word]

    assert levels[0] == "-oLogLevel=INFO"


def test_without_a_master_nothing_is_connected_to() -> None:
    for words in (exit_argv("ssh", Path("/s")), reach_argv("ssh", Path("/s"), 1)):
        assert "-oProxyCommand=false" in words


def test_the_path_of_the_socket_is_quoted_or_refused() -> None:
    assert '-oControlPath="/my 100%% home/fwd.sock"' in exit_argv(
        "ssh", Path("/my 100% home/fwd.sock")
    )
    with pytest.raises(HostError, match="has a quote"):
        exit_argv("ssh", Path('/a"b/fwd.sock'))
