"""Command lines and settings for the OpenSSH programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vagrantish.errors import HostError
from vagrantish.ssh.program import find_ssh, ssh_argv, ssh_config_text
from vagrantish.ssh.target import Target


def target(home: str = "/home/me/.vx", *, forward_agent: bool = False) -> Target:
    return Target(
        address_host="127.0.0.1",
        address_port=2222,
        user="vx",
        key_file=Path(home) / "id_ed25519",
        known_hosts=Path(home) / "known_hosts",
        alias="vx-abc",
        forward_agent=forward_agent,
        connect_timeout_s=0.2,
    )


def test_the_pinned_key_alone_is_trusted_and_shown() -> None:
    argv = ssh_argv(target())

    assert argv[:3] == ["ssh", "-F", "/dev/null"]
    assert {
        '-oUserKnownHostsFile="/home/me/.vx/known_hosts"',
        "-oGlobalKnownHostsFile=/dev/null",
        "-oStrictHostKeyChecking=yes",
        "-oHostKeyAlias=vx-abc",
        "-oIdentitiesOnly=yes",
        "-oUpdateHostKeys=no",
        "-oForwardAgent=no",
        "-oConnectTimeout=1",
        "-oPort=2222",
        "-oUser=vx",
    } <= set(argv)
    assert argv[-1] == "127.0.0.1"


def test_a_command_comes_last_and_is_no_option() -> None:
    argv = ssh_argv(target(), command="-x; ls", tty=True, extra=["-L", "1:a:2"])

    assert argv[-6:] == ["-tt", "127.0.0.1", "-L", "1:a:2", "--", "-x; ls"]


@pytest.mark.parametrize(("tty", "word"), [(True, "-tt"), (False, "-T")])
def test_the_terminal_is_asked_for_or_not(tty: bool, word: str) -> None:
    assert word in ssh_argv(target(), tty=tty)
    assert word not in ssh_argv(target())


def test_the_agent_is_forwarded_when_asked() -> None:
    assert "-oForwardAgent=yes" in ssh_argv(target(forward_agent=True))


def test_paths_with_spaces_and_percents_are_quoted() -> None:
    text = ssh_config_text(target("/home/my self/50%/.vx"), "web")

    assert text.startswith("Host web\n  HostName 127.0.0.1\n  User vx\n")
    assert '  IdentityFile "/home/my self/50%%/.vx/id_ed25519"\n' in text


@pytest.mark.parametrize("home", ['/a"b', "/a\\b", "/a\nb", "/a${HOME}"])
def test_a_path_that_ssh_cannot_read_is_refused(home: str) -> None:
    with pytest.raises(HostError, match="ssh cannot be told") as caught:
        ssh_argv(target(home))

    assert "VX_HOME" in caught.value.hint


def test_a_missing_ssh_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(HostError, match="ssh program is not installed") as caught:
        find_ssh()

    assert "openssh-client" in caught.value.hint


def test_the_way_into_a_guest_loads_nothing_heavy() -> None:
    code = (
        "import sys; import vagrantish.ssh.program, vagrantish.ssh.target;"
        "print(sorted({'paramiko', 'cryptography', 'dataclasses', 'shutil', 'subprocess', 'typing'}"
        " & set(sys.modules)))"
    )

    found = subprocess.run([sys.executable, "-Sc", code], capture_output=True, text=True, env={
        "PYTHONPATH": str(Path(__file__).resolve().parents[3])
    })  # fmt: skip

    assert found.stdout.strip() == "[]", found.stderr
