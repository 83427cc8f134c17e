"""OpenSSH's own programs with our settings, and keys that other tools can read."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.fakes.sshd import Sshd
from vagrantish.ssh import keys
from vagrantish.ssh.program import find_ssh, ssh_argv, ssh_config_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    """Its keys lie below a folder whose name has all that needs quoting."""
    sshd = Sshd(tmp_path / "it's 50% a home #1")
    # sshd's own settings do not quote its paths.
    plain = tmp_path / "plain"
    plain.symlink_to(sshd.folder)
    sshd.folder = plain
    sshd.start()
    sshd.folder = tmp_path / "it's 50% a home #1"
    yield sshd
    sshd.stop()


@pytest.fixture
def config(server: Sshd, tmp_path: Path) -> Path:
    path = tmp_path / "ssh.cfg"
    path.write_text(ssh_config_text(server.target(), "web"))
    return path


def run(*argv: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=20)


def test_ssh_runs_a_command_and_passes_its_status_on(server: Sshd) -> None:
    argv = ssh_argv(server.target(), command="echo 'a  b'; exit 7")

    done = run(find_ssh(), *argv[1:])

    assert (done.stdout, done.stderr, done.returncode) == (b"a  b\n", b"", 7)


def test_options_and_a_command_may_follow_the_host(server: Sshd) -> None:
    argv = ssh_argv(server.target(), extra=["-o", "SendEnv=NONE", "echo", "done"])

    assert run(find_ssh(), *argv[1:]).stdout == b"done\n"


@pytest.mark.skipif(os.getuid() != 0, reason="sshd gives terminals only when root runs it")
def test_a_terminal_is_given_when_asked_for(server: Sshd) -> None:
    argv = ssh_argv(server.target(), command="test -t 0 && echo terminal", tty=True)

    assert run(find_ssh(), *argv[1:]).stdout.strip() == b"terminal"


def test_another_host_key_is_refused_and_never_written_down(server: Sshd) -> None:
    server.pin(keys.generate("other").public)
    before = (server.folder / "known_hosts").read_bytes()

    done = run(find_ssh(), *ssh_argv(server.target(), command="true")[1:])

    assert done.returncode == 255
    assert b"verification failed" in done.stderr
    assert (server.folder / "known_hosts").read_bytes() == before


def test_a_refused_key_asks_for_no_password(server: Sshd) -> None:
    server.authorize(take=False)

    done = run(find_ssh(), *ssh_argv(server.target(), command="true")[1:])

    assert done.returncode == 255
    assert b"Permission denied (publickey)" in done.stderr


def test_plain_ssh_scp_and_sftp_take_the_settings(config: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("content")

    shell = run("ssh", "-F", config, "web", "echo hello")
    scp = run("scp", "-q", "-F", config, tmp_path / "f", f"web:{tmp_path}/g")
    sftp = run("sftp", "-q", "-F", config, f"web:{tmp_path}/g", tmp_path / "h")

    assert (shell.stdout, shell.stderr) == (b"hello\n", b"")
    assert (scp.returncode, sftp.returncode) == (0, 0), scp.stderr + sftp.stderr
    assert (tmp_path / "h").read_text() == "content"


@pytest.mark.skipif(not shutil.which("rsync"), reason="needs rsync")
def test_rsync_takes_the_settings(config: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("content")

    done = run("rsync", "-e", f"ssh -F {config}", tmp_path / "f", f"web:{tmp_path}/g")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "g").read_text() == "content"


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")
def test_openssh_reads_the_private_key(tmp_path: Path) -> None:
    pair = keys.generate("vx")
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(pair.private)

    done = run("ssh-keygen", "-y", "-f", path)

    assert done.stdout.decode().split()[:2] == pair.public.split()[:2]


@pytest.mark.skipif(not shutil.which("dropbearconvert"), reason="needs dropbear-bin")
def test_dropbear_reads_its_form_of_the_key(tmp_path: Path) -> None:
    pair = keys.generate("vx")
    (tmp_path / "dropbear").write_bytes(keys.dropbear_private(pair.private))

    converted = run("dropbearconvert", "dropbear", "openssh", tmp_path / "dropbear", tmp_path / "o")
    os.chmod(tmp_path / "o", 0o600)
    done = run("ssh-keygen", "-y", "-f", tmp_path / "o")

    assert converted.returncode == 0, converted.stderr
    assert done.stdout.decode().split()[:2] == pair.public.split()[:2]
