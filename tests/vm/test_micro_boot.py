"""The micro box in a QEMU started by hand, reached with plain ssh: vx itself has no part in it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.guest import MISSING, Guest, guest_of
from tests.fakes.recorder import quiet_op
from vagrantish.box import micro
from vagrantish.box.store import BoxStore
from vagrantish.model import BoxRef
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.model import Box

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(MISSING is not None, reason=f"needs {MISSING}"),
]


@pytest.fixture
def box(micro_store: Path) -> Box:
    return BoxStore(VxHome(micro_store)).find(BoxRef(name="micro"), "x86_64")


@pytest.fixture
def guest(box: Box, vx_home: Path) -> Iterator[Guest]:
    with guest_of(box, vx_home) as guest:
        yield guest


@pytest.fixture
def guest_with_disk(box: Box, vx_home: Path, tmp_path: Path) -> Iterator[Guest]:
    disk = tmp_path / "disk.img"
    with disk.open("wb") as file:
        file.truncate(1 << 30)
    with guest_of(box, vx_home, disk=disk) as guest:
        yield guest


def test_plain_ssh_finds_the_seeded_machine(guest: Guest, tmp_path: Path) -> None:
    guest.start()

    told = guest.ssh("hostname; id -un; echo $HOME; sudo -n id -u; sudo -n hostname; stat -c %a /")
    assert told.splitlines() == ["web-1", "vx", "/home/vx", "0", "web-1", "755"]
    assert guest.ssh("which poweroff reboot modprobe ip rsync").count("/usr/bin/") == 5
    assert guest.ssh("stat -c '%a %U' ~/.ssh ~/.ssh/authorized_keys").split() == [
        "700", "vx", "600", "vx",
    ]  # fmt: skip
    assert guest.ssh("cat /etc/vx/seed/hostname 2>&1 || true") != "web-1\n"
    assert guest.ssh("ls -d /home/vx /root /tmp; locale >/dev/null 2>&1; echo $?").endswith("127\n")

    _copies_files(guest, tmp_path)
    _forwards_the_agent(guest)
    _refuses_root_and_passwords(guest)
    _knows_no_other_host_key(guest, tmp_path)

    guest.qmp("system_powerdown")
    assert guest.ended_after() < 10
    assert "reboot: Power down" in guest.console


def _copies_files(guest: Guest, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    source.mkdir()
    (source / "data").write_bytes(os.urandom(300_000))
    config = str(guest.folder / "ssh_config")
    subprocess.run(["scp", "-q", "-F", config, source / "data", "guest:copied"], check=True)
    batch = f"get copied {tmp_path}/back\n".encode()
    subprocess.run(["sftp", "-q", "-F", config, "-b", "-", "guest"], input=batch, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    assert (tmp_path / "back").read_bytes() == (source / "data").read_bytes()
    if shutil.which("rsync"):
        rsh = f"ssh -F {config}"
        subprocess.run(["rsync", "-a", "-e", rsh, f"{source}/", "guest:tree"], check=True)
        assert guest.ssh("cmp copied tree/data && echo same") == "same\n"


def _forwards_the_agent(guest: Guest) -> None:
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    variables = dict(re.findall(r"(SSH_\w+)=([^;]+);", agent))
    try:
        done = subprocess.run(
            ["ssh", "-F", guest.folder / "ssh_config", "-A", "guest", "test -S $SSH_AUTH_SOCK"],
            env=os.environ | variables, timeout=60,
        )  # fmt: skip
    finally:
        os.kill(int(variables["SSH_AGENT_PID"]), 15)
    assert done.returncode == 0


def _refuses_root_and_passwords(guest: Guest) -> None:
    for options in (("-l", "root"), ("-o", "PubkeyAuthentication=no")):
        done = subprocess.run(
            ["ssh", "-F", guest.folder / "ssh_config", *options, "guest", "true"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 255
        assert "Permission denied (publickey)" in done.stderr


def _knows_no_other_host_key(guest: Guest, tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.write_text("")
    done = subprocess.run(
        ["ssh", "-F", guest.folder / "ssh_config", "-o", f"UserKnownHostsFile={others}",
         "guest", "true"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "Host key verification failed" in done.stderr


@pytest.mark.parametrize("command", ["sudo /sbin/poweroff", "sudo sh -c poweroff"])
def test_poweroff_over_ssh_ends_the_guest(guest: Guest, command: str) -> None:
    guest.start()

    guest.ssh(command, check=False)

    guest.ended_after()
    assert "reboot: Power down" in guest.console


def test_reboot_over_ssh_restarts_the_guest(guest: Guest) -> None:
    guest.start()

    guest.ssh("sudo sh -c reboot", check=False)

    guest.ended_after()  # -no-reboot makes an end of it
    assert "reboot: Restarting system" in guest.console


def test_the_console_gives_a_shell_and_open_shells_do_not_delay_the_power_button(
    guest: Guest,
) -> None:
    guest.start()
    guest.wait_for("press Enter")
    with socket.socket(socket.AF_UNIX) as console:
        console.connect(str(guest.folder / "con"))
        # QEMU holds the guest's serial port up while a client does not read.
        threading.Thread(target=_drain, args=(console,), daemon=True).start()
        console.sendall(b"\n")
        guest.wait_for("root@web-1")
        console.sendall(b"echo ans'wer' $(id -u) $(tty)\n")
        guest.wait_for("answer 0 /dev/ttyS0")
    # Left now, with the shell still there.
    session = subprocess.Popen(
        ["ssh", "-F", guest.folder / "ssh_config", "-tt", "guest"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert session.stdout is not None
        session.stdout.read(1)

        guest.qmp("system_powerdown")

        guest.ended_after()
    finally:
        session.communicate(timeout=10)


def _drain(console: socket.socket) -> None:
    try:
        while console.recv(4096):
            pass
    except OSError:
        return


def test_a_disk_keeps_what_was_written_over_power_off_and_power_cut(
    guest_with_disk: Guest,
) -> None:
    guest = guest_with_disk
    guest.start()
    assert "making a file system" in guest.console
    guest.ssh("echo first >kept; sudo chmod 4755 /bin/true")
    guest.qmp("system_powerdown")
    guest.ended_after()

    guest.seed(hostname="renamed")
    guest.start()
    assert "making a file system" not in guest.console
    assert guest.ssh("cat kept; hostname; grep -c ssh-ed25519 ~/.ssh/authorized_keys").split() == [
        "first", "renamed", "1",
    ]  # fmt: skip
    guest.ssh("echo second >>kept; sync")
    guest.kill()

    guest.start()
    assert guest.ssh("cat kept; df / | tail -1").split()[:3] == ["first", "second", "/dev/vda"]
    guest.qmp("system_powerdown")
    guest.ended_after()
    assert guest.disk is not None
    if shutil.which("e2fsck"):
        subprocess.run(
            ["e2fsck", "-fn", guest.disk], check=True, capture_output=True, stdin=subprocess.DEVNULL
        )


def test_a_power_cut_while_the_disk_is_made_only_starts_it_over(guest_with_disk: Guest) -> None:
    guest = guest_with_disk
    for delay_s in (0.05, 0.2, 0.35):
        guest.start(until="making a file system")
        time.sleep(delay_s)
        guest.kill()

    guest.start()

    assert guest.ssh("ls /usr/bin | wc -l; df / | tail -1").split()[1] == "/dev/vda"
    assert int(guest.ssh("ls /usr/bin | wc -l")) > 200


def test_a_disk_with_something_else_on_it_is_left_alone(guest_with_disk: Guest) -> None:
    disk = guest_with_disk.disk
    assert disk is not None
    with disk.open("r+b") as file:
        file.seek(30000)
        file.write(b"somebody's data")
    before = disk.read_bytes()[:65536]

    guest_with_disk.start(until="vx: failed: the disk vx-root holds something that is not ours")

    guest_with_disk.qmp("system_powerdown")
    guest_with_disk.ended_after()
    assert disk.read_bytes()[:65536] == before
    assert "vx: ready" not in guest_with_disk.console


def test_a_guest_without_a_network_says_so(box: Box, vx_home: Path) -> None:
    with guest_of(box, vx_home, nic=False) as guest:
        guest.start(until="vx: failed: there is no network interface")


def test_the_same_packages_give_the_same_bytes(box: Box, micro_store: Path, tmp_path: Path) -> None:
    home = VxHome(tmp_path / "home")
    shutil.copytree(VxHome(micro_store).downloads, home.downloads)

    again = micro.build(BoxStore(home), home, force=False, op=quiet_op())

    assert again.version == box.version
    assert {k: a.digest for k, a in again.artifacts.items()} == {
        k: a.digest for k, a in box.artifacts.items()
    }
