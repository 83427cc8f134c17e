"""A stand-in for Tiny Core in a QEMU started by hand: the seed alone, without vx around it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.fakes import tinycore
from tests.fakes.guest import MISSING
from tests.fakes.tinycore_guest import guest_of
from vagrantish.formats.device import FileDevice
from vagrantish.formats.iso9660 import Iso9660
from vagrantish.formats.volume import Volume
from vagrantish.seed.tinycore_disk import make_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.tinycore_guest import TinyCoreGuest
    from vagrantish.formats import cpio

_LACKING = MISSING or tinycore.MISSING

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(_LACKING is not None, reason=f"needs {_LACKING}"),
]


@pytest.fixture(scope="session")
def mirror() -> tinycore.Mirror:
    return tinycore.cached()


@pytest.fixture
def home(vx_home: Path) -> Path:
    """A folder whose path is short enough for sockets."""
    return vx_home


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    make_disk(path, 64 << 20, uuid="0d4fa1b5-3ef1-4b4c-9a49-6f0f0f0f0f0f")
    return path


def test_plain_ssh_finds_the_seeded_machine(mirror: tinycore.Mirror, home: Path) -> None:
    with guest_of(mirror, home, words=("hostname=other", "noembed")) as guest:
        guest.start()

        assert guest.ssh("hostname; id -un; id -gn; sudo -n id -u").split() == [
            "web-1", "tc", "staff", "0",
        ]  # fmt: skip
        assert "/usr/local/sbin" in guest.ssh("echo $PATH")
        _has_loaded_the_extensions(guest)
        _kept_tiny_cores_folders_as_they_were(guest)
        _hides_the_seed(guest)
        _lets_nobody_in_without_the_key(guest)
        _copies_a_file(guest)

        guest.qmp("system_powerdown")
        guest.ended_after()
        assert "reboot: Power down" in guest.console


def _has_loaded_the_extensions(guest: TinyCoreGuest) -> None:
    assert guest.ssh("ls /tmp/tcloop /usr/local/tce.installed").split() == [
        "/tmp/tcloop:", "openssh", "openssl", "/usr/local/tce.installed:", "openssh", "openssl",
    ]  # fmt: skip
    assert guest.ssh("ls /var/lib/openssh.started")
    assert guest.console.index("extensions loaded") < guest.console.index("vx: ready ssh")


def _kept_tiny_cores_folders_as_they_were(guest: TinyCoreGuest) -> None:
    told = guest.ssh("stat -c '%a %u:%g' /tmp /opt /home /home/tc/.ssh ~/.ssh/authorized_keys")
    assert told.splitlines() == ["1777 0:50", "2775 0:50", "775 0:50", "700 1001:50", "600 1001:50"]
    assert "drwxr-x---" in guest.ssh("ls -ld ~")
    assert ".profile" in guest.ssh("ls -A ~")


def _hides_the_seed(guest: TinyCoreGuest) -> None:
    assert "Permission denied" in guest.ssh("cat /etc/vx/seed/ssh_host_ed25519_key 2>&1 || true")


def _lets_nobody_in_without_the_key(guest: TinyCoreGuest) -> None:
    for options in (("-l", "root"), ("-o", "PubkeyAuthentication=no")):
        done = subprocess.run(
            ["ssh", "-F", guest.folder / "ssh_config", *options, "guest", "true"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 255
        assert "Permission denied (publickey)" in done.stderr


def _copies_a_file(guest: TinyCoreGuest) -> None:
    source = guest.folder / "source"
    source.write_bytes(b"kept as it is")
    subprocess.run(
        ["sftp", "-q", "-F", guest.folder / "ssh_config", "-b", "-", "guest"],
        input=f"put {source} copied\n".encode(), check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert guest.ssh("cat copied") == "kept as it is"


def test_the_image_on_the_mirror_holds_what_is_booted_here(mirror: tinycore.Mirror) -> None:
    with FileDevice(mirror.iso) as device:
        volume = Volume(Iso9660(device))

        assert volume.read("/boot/vmlinuz64", most=1 << 26) == mirror.kernel.read_bytes()
        assert volume.read("/boot/corepure64.gz", most=1 << 26) == mirror.initrd.read_bytes()
    name = mirror.iso.name
    sidecar = mirror.iso.with_name(f"{name}.md5.txt").read_text()
    assert sidecar == f"{hashlib.md5(mirror.iso.read_bytes()).hexdigest()}  {name}\n"


def test_another_user_is_made_and_reached_through_dropbear(
    mirror: tinycore.Mirror, home: Path
) -> None:
    dropbear = (("dropbear.tcz", mirror.extension("dropbear.tcz").read_bytes()),)
    # Tiny Core's own user= would not make this one: it is part of another's line.
    with guest_of(mirror, home, user="linux", extensions=dropbear) as guest:
        guest.start()

        told = guest.ssh("id -un; id -u; id -gn; sudo -n id -u; cat /etc/sysconfig/tcuser")
        assert told.split() == ["linux", "1000", "staff", "0", "tc"]


def test_root_may_be_the_user(mirror: tinycore.Mirror, home: Path) -> None:
    with guest_of(mirror, home, user="root") as guest:
        guest.start()

        assert guest.ssh("id -u; ls /var/lib/openssh.started").split()[0] == "0"


def test_without_sshd_the_console_says_why(mirror: tinycore.Mirror, home: Path) -> None:
    damaged = (("openssh.tcz", b"hsqs, and then a page that says 404"),)
    with guest_of(mirror, home, extensions=damaged) as guest:
        guest.start(until="vx: failed: there is no sshd, as these extensions did not load: openssh")


def test_a_wrong_mode_of_tmp_keeps_start_scripts_from_running(
    mirror: tinycore.Mirror, home: Path
) -> None:
    def spoil(entries: tuple[cpio.Entry, ...]) -> tuple[cpio.Entry, ...]:
        return tuple(
            replace(entry, mode=0o40755, gid=0) if entry.name == "tmp" else entry
            for entry in entries
        )

    with guest_of(mirror, home, change=spoil) as guest:
        guest.start()

        assert guest.ssh("ls /tmp/tcloop").split() == ["openssh", "openssl"]
        assert guest.ssh("ls /var/lib/openssh.started || true") == ""


def test_a_disk_keeps_home_opt_and_extensions(
    mirror: tinycore.Mirror, home: Path, disk: Path
) -> None:
    with guest_of(mirror, home, disk=disk) as guest:
        guest.start()
        assert guest.ssh("df /home /opt /etc/sysconfig/tcedir/ | grep -c /dev/vda") == "3\n"
        _uses_the_disk(guest, mirror)
        guest.qmp("system_powerdown")
        guest.ended_after()
        _is_sound(disk)

        guest.seed(hostname="renamed")
        guest.start()

        # Its hook goes on to be run, and the sshd it starts with other keys does not stay.
        assert guest.ssh("cat mine; hostname; cat /var/bootlocal").split() == [
            "first", "renamed", "ran",
        ]  # fmt: skip
        assert guest.ssh("grep -c ssh-ed25519 ~/.ssh/authorized_keys") == "1\n"
        assert guest.ssh("ls /usr/local/tce.installed").split() == [
            "dropbear",
            "openssh",
            "openssl",
        ]
        # What was packed on request is back, and not over what is newer.
        assert guest.ssh("sudo cat /root/packed; cat /opt/newer").split() == ["packed", "newer"]
        # Powering off by the button runs what Tiny Core runs then.
        assert guest.ssh("ls /opt/shut-down")
        guest.ssh("echo second >mine; sync")
        guest.kill()

        guest.start()
        assert guest.ssh("cat mine") == "second\n"


def _uses_the_disk(guest: TinyCoreGuest, mirror: tinycore.Mirror) -> None:
    guest.ssh("echo first >mine; echo older >/opt/newer; echo packed | sudo tee /root/packed")
    guest.ssh("filetool.sh -b; echo newer >/opt/newer")
    guest.ssh("ssh-keygen -q -t ed25519 -N '' -f /opt/own_key")
    guest.ssh(
        "echo 'echo ran >/var/bootlocal' >>/opt/bootlocal.sh;"
        "echo '/usr/local/sbin/sshd -f /dev/null -o HostKey=/opt/own_key' >>/opt/bootsync.sh"
    )
    subprocess.run(
        ["scp", "-q", "-F", guest.folder / "ssh_config", mirror.extension("dropbear.tcz"),
         "guest:/etc/sysconfig/tcedir/optional/"],
        check=True,
    )  # fmt: skip
    guest.ssh("echo dropbear.tcz >>/etc/sysconfig/tcedir/onboot.lst")


def _is_sound(disk: Path) -> None:
    if shutil.which("e2fsck"):
        subprocess.run(
            ["e2fsck", "-fn", disk], check=True, capture_output=True, stdin=subprocess.DEVNULL
        )
