"""Published boxes, from a URL to a provisioned guest: in the shapes that distributions publish."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import time
import tomllib
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Vx
    from tests.vm.conftest import Publishers

# Emulated, and beside another guest: its services start one by one.
pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200)]

SETTINGS = """
memory = "1GiB"
hostname = "web-1"
[qemu]
accel = "tcg"
[boot]
timeout = "600s"
stall = "300s"
[halt]
timeout = "120s"
[[provision]]
name = "page"
type = "file"
source = "page.txt"
destination = "/srv/page.txt"
owner = "root"
[[provision]]
name = "count"
inline = "echo run >>/var/tmp/runs"
"""
# A kernel of a newer version, put on the disk and made the default as the distribution does it.
# The bytes at its end make it another file, and change nothing of what it does.
NEWER = "9.9.9-9-newer"
UPDATE_GRUB = """
cd /boot
cp vmlinuz-{old} vmlinuz-{new}; echo newer >>vmlinuz-{new}; cp initrd.img-{old} initrd.img-{new}
sed -i -e 's/-{old}/-{new}/' -e 's/consoleblank=0/& vx.kernel=newer/' grub/grub.cfg
ln -sf boot/vmlinuz-{new} /vmlinuz
sync
"""
KERNEL_INSTALL = """
cd /boot
saved=$(sed -n 's/^saved_entry=//p' grub2/grubenv)
id=${{saved%%-*}} old=${{saved#*-}}
cp vmlinuz-$old vmlinuz-{new}; echo newer >>vmlinuz-{new}; cp initramfs-$old.img initramfs-{new}.img
sed -e "s/$old/{new}/" -e '/^options/s/$/ vx.kernel=newer/' loader/entries/$saved.conf \
    >loader/entries/$id-{new}.conf
sed -i "s/^saved_entry=.*/saved_entry=$id-{new}/" grub2/grubenv
sync
"""


def vx_up(vx: Vx, *words: str) -> str:
    return vx.run("up", *words, timeout=900).stderr


def ssh(vx: Vx, script: str) -> str:
    done = vx.run("ssh", "-c", script, status=None)
    if done.returncode == 255:  # ssh's own; the guest's sshd may have written down why
        time.sleep(5)
        journal = vx.run("ssh", "-c", "sudo journalctl -b -u ssh -n 60", status=None)
        pytest.fail(f"{done}\n{journal.stdout}")
    assert done.returncode == 0, done
    return done.stdout


def as_root(vx: Vx, script: str) -> None:
    vx.run("ssh", "-c", "sudo sh -eu", stdin=script)


def machine(vx: Vx) -> dict[str, Any]:
    (found,) = json.loads(vx.run("status", "--json").stdout)["machines"]
    told: dict[str, Any] = found
    return told


def folder_of(vx: Vx) -> Path:
    (folder,) = (vx.home / "machines").iterdir()
    return folder


def argument(vx: Vx, option: str) -> str:
    """What the running hypervisor was given after ``option``."""
    words = psutil.Process(machine(vx)["pid"]).cmdline()
    return words[words.index(option) + 1]


def locked(vx: Vx) -> list[dict[str, Any]]:
    boxes: list[dict[str, Any]] = tomllib.loads((vx.folder / "Xhyvefile.lock").read_text())["box"]
    return boxes


def was_provisioned(vx: Vx) -> None:
    told = ssh(vx, "hostname; cat /srv/page.txt; stat -c %U /srv/page.txt; cat /var/tmp/runs")
    assert told.split() == ["web-1", "a", "page", "root", "run"]


def lets_nobody_in_without_the_key(vx: Vx) -> None:
    config = vx.folder / "ssh_config"
    config.write_text(vx.run("ssh-config").stdout, encoding="utf-8")
    (host,) = re.findall("^Host (.+)$", config.read_text(), re.MULTILINE)
    for options in (("-l", "root"), ("-o", "PubkeyAuthentication=no")):
        done = subprocess.run(
            ["ssh", "-F", config, "-o", "BatchMode=yes", *options, host, "true"],
            capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode != 0
        assert re.search(r"Permission denied|Please login as", done.stdout + done.stderr), done


def has_the_pinned_host_key(vx: Vx) -> None:
    ours = (folder_of(vx) / "host_ed25519.pub").read_text().split()[:2]
    assert ssh(vx, "sudo cat /etc/ssh/ssh_host_ed25519_key.pub").split()[:2] == ours
    assert ssh(vx, "ls /etc/ssh/ssh_host_*_key").split() == ["/etc/ssh/ssh_host_ed25519_key"]


def copies_both_ways(vx: Vx) -> None:
    there, back = vx.folder / "there", vx.folder / "back"
    there.write_bytes(bytes(range(256)) * 999)
    vx.run("cp", there, ":/tmp/copied")
    vx.run("cp", ":/tmp/copied", back)
    assert back.read_bytes() == there.read_bytes()


def starts_again(vx: Vx) -> str:
    """What `vx up` said; the guest is another boot of the same system."""
    boot_id = ssh(vx, "cat /proc/sys/kernel/random/boot_id")
    vx.run("halt", timeout=300)
    told = vx_up(vx)
    assert ssh(vx, "cat /proc/sys/kernel/random/boot_id") != boot_id
    was_provisioned(vx)
    has_the_pinned_host_key(vx)
    return told


def test_debian_follows_its_owners_wishes_and_its_own_new_kernel(
    published: Vx, publishers: Publishers
) -> None:
    vx = published
    (vx.folder / "page.txt").write_text("a page\n")
    vx.xhyvefile(
        'box = "debian@12"\ndisk = "5GiB"\n' + SETTINGS + "[cloud_init]\nuser_data = '''\n"
        "#cloud-config\nwrite_files:\n- {path: /etc/mine, content: from user data}\n"
        "runcmd:\n- [sh, -c, 'echo ran >>/var/tmp/runcmd']\n'''\n"
    )

    told = vx_up(vx)

    assert "added debian@12.20260712-2537" in told
    was_provisioned(vx)
    has_the_pinned_host_key(vx)
    lets_nobody_in_without_the_key(vx)
    own = "cat /etc/mine /var/tmp/runcmd; id -un; cloud-init status"
    assert ssh(vx, own).split() == ["from", "user", "dataran", "debian", "status:", "done"]
    assert int(ssh(vx, "df -B1 --output=size / | tail -1")) > 4.5 * (1 << 30)
    (box,) = locked(vx)
    assert (box["name"], box["asked"], box["version"]) == ("debian", "12", "12.20260712-2537")
    image = publishers.server.file("debian").read_bytes()
    assert [(file["url"], file["digest"], file["size"]) for file in box["file"]] == [
        (publishers.server.address("debian"), f"sha256:{hashlib.sha256(image).hexdigest()}",
         len(image)),
    ]  # fmt: skip
    was = machine(vx)["pid"]
    assert "nothing to do" in vx_up(vx)
    assert machine(vx)["pid"] == was

    release = ssh(vx, "uname -r").strip()
    as_root(vx, UPDATE_GRUB.format(old=release, new=NEWER))
    told = starts_again(vx)

    assert f"its disk has another kernel: {NEWER} (it was {release})" in told
    assert argument(vx, "-kernel") == str(folder_of(vx) / "kernel")
    digest = hashlib.sha256((folder_of(vx) / "kernel").read_bytes()).hexdigest()
    assert ssh(vx, f"sha256sum </boot/vmlinuz-{NEWER}").split()[0] == digest
    assert "vx.kernel=newer" in ssh(vx, "cat /proc/cmdline").split()
    record = json.loads((folder_of(vx) / "machine.json").read_text())
    assert (record["kernel"]["release"], record["kernel"]["kernel"]) == (NEWER, digest)
    assert ssh(vx, "cat /var/tmp/runcmd; ls /dev/disk/by-id/virtio-vx-seed").split() == [
        "ran", "/dev/disk/by-id/virtio-vx-seed",
    ]  # fmt: skip


def test_ubuntu_boots_from_a_partition_of_its_own_or_pinned_without_it(published: Vx) -> None:
    vx = published
    (vx.folder / "page.txt").write_text("a page\n")
    vx.xhyvefile('box = "ubuntu"\n' + SETTINGS)

    vx_up(vx)

    was_provisioned(vx)
    has_the_pinned_host_key(vx)
    assert ssh(vx, "id -un; findmnt -n -o FSTYPE /boot").split() == ["ubuntu", "ext4"]
    assert (locked(vx)[0]["asked"], locked(vx)[0]["version"]) == ("", "24.04.20260705")
    copies_both_ways(vx)

    as_root(vx, "rm /boot/initrd.img-*; sync")
    vx.xhyvefile('box = "ubuntu"\n' + SETTINGS.replace("[boot]", '[boot]\nkernel = "box"'))
    starts_again(vx)

    assert argument(vx, "-kernel").startswith(str(vx.home / "artifacts"))


def test_centos_boots_the_entry_its_grubenv_names_also_a_new_one(published: Vx) -> None:
    vx = published
    (vx.folder / "page.txt").write_text("a page\n")
    vx.xhyvefile('box = "centos@9"\n' + SETTINGS)

    vx_up(vx)

    was_provisioned(vx)
    has_the_pinned_host_key(vx)
    assert ssh(vx, "id -un; findmnt -n -o FSTYPE /; findmnt -n -o FSTYPE /boot").split() == [
        "cloud-user", "xfs", "xfs",
    ]  # fmt: skip
    assert locked(vx)[0]["version"] == "9.20260720.0"

    as_root(vx, KERNEL_INSTALL.format(new=NEWER))
    told = starts_again(vx)

    assert f"its disk has another kernel: {NEWER}" in told
    assert "vx.kernel=newer" in ssh(vx, "cat /proc/cmdline").split()
    assert argument(vx, "-kernel") == str(folder_of(vx) / "kernel")


def test_tiny_core_lives_in_memory_and_with_a_disk_is_the_same_next_time(published: Vx) -> None:
    vx = published
    (vx.folder / "page.txt").write_text("a page\n")
    settings = 'box = "tinycore@16"\n' + SETTINGS.replace("1GiB", "256MiB").replace("/srv", "/opt")
    settings = settings.replace("/var/tmp/runs", "/opt/runs").replace('owner = "root"\n', "")
    vx.xhyvefile(settings)

    vx_up(vx)

    look = "hostname; id -un; cat /opt/page.txt /opt/runs"
    assert ssh(vx, look).split() == ["web-1", "tc", "a", "page", "run"]
    lets_nobody_in_without_the_key(vx)
    (box,) = locked(vx)[:1]
    assert [file["part"] for file in box["file"]] == [
        "kernel", "initrd", "openssl.tcz", "openssh.tcz",
    ]  # fmt: skip
    ssh(vx, "echo gone >/opt/mine")
    vx.run("halt", timeout=300)
    vx_up(vx)
    assert ssh(vx, f"{look}; ls /opt/mine || true").split() == ["web-1", "tc", "a", "page", "run"]
    vx.run("destroy", "--yes", timeout=300)

    vx.xhyvefile(f'disk = "1GiB"\n{settings}')
    vx_up(vx)
    ssh(vx, "echo kept >/opt/mine; echo home >mine; sync")
    vx.run("halt", timeout=300)
    vx_up(vx)
    assert ssh(vx, f"{look} /opt/mine mine").split() == [
        "web-1", "tc", "a", "page", "run", "kept", "home",
    ]  # fmt: skip
