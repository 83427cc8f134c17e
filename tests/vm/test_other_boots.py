"""Disks that boot by themselves: by UEFI and a loader of their own, seeded or with keys of their own."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.fakes import uefi_image
from vagrantish.provider import firmware

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Vx

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(
        bool(uefi_image.MISSING), reason=f"not installed: {', '.join(uefi_image.MISSING)}"
    ),
    pytest.mark.timeout(1200),
]

SETTINGS = """
memory = "1GiB"
[qemu]
accel = "tcg"
[boot]
mode = "uefi"
timeout = "600s"
stall = "300s"
[halt]
timeout = "120s"
"""
VARIABLE = "/sys/firmware/efi/efivars/VxTest-5a0ec1da-43b0-4a5e-9d0b-2d3f4c5b6a70"
WRITE_VARIABLE = f"""
mountpoint -q /sys/firmware/efi/efivars || mount -t efivarfs none /sys/firmware/efi/efivars
printf '\\007\\0\\0\\0kept' >{VARIABLE}
"""
# What its owner would see to: a network of its own, and an sshd elsewhere than all others.
SETTLE = """
printf '[Match]\\nName=en* eth*\\n[Network]\\nDHCP=yes\\n' >/etc/systemd/network/80-dhcp.network
rm -f /etc/netplan/*cloud-init* /run/systemd/network/*
touch /etc/cloud/cloud-init.disabled
echo 'Port 2022' >>/etc/ssh/sshd_config
sync
"""


@pytest.fixture
def vx_home(new_home: Callable[[Path], Path], tmp_path: Path) -> Path:
    """Without the micro box, which nothing here boots."""
    (tmp_path / "catalog").mkdir()
    return new_home(tmp_path / "catalog")


def ssh(vx: Vx, script: str) -> list[str]:
    return vx.run("ssh", "-c", script).stdout.split()


def folder_of(vx: Vx) -> Path:
    (folder,) = (vx.home / "machines").iterdir()
    return folder


def words(vx: Vx) -> list[str]:
    """What the running hypervisor was given."""
    (machine,) = json.loads(vx.run("status", "--json").stdout)["machines"]
    return psutil.Process(machine["pid"]).cmdline()


def test_an_installed_disk_boots_by_uefi_and_elsewhere_with_keys_of_its_own(vx: Vx) -> None:
    disk = uefi_image.cached()
    vx.xhyvefile(f'box = {{ disk = "{disk}", user = "debian", seed = "cloud-init" }}\n{SETTINGS}')

    vx.run("up", timeout=900)

    assert ssh(vx, "hostname; id -un; ls -d /sys/firmware/efi") == [
        "default", "debian", "/sys/firmware/efi",
    ]  # fmt: skip
    given = words(vx)
    assert "-kernel" not in given
    code, variables = (word for word in given if word.startswith("if=pflash"))
    assert code.endswith(f"readonly=on,file={firmware.find('qemu').code}")
    assert variables.endswith(f"file={folder_of(vx) / 'uefi-vars.fd'}")
    # GRUB's words: vx has none to say here.
    assert "earlyprintk=ttyS0,115200" in ssh(vx, "cat /proc/cmdline")
    vx.run("ssh", "-c", "sudo sh -eu", stdin=WRITE_VARIABLE)
    vx.run("ssh", "-c", "sudo sh -eu", stdin=SETTLE)
    vx.run("halt", timeout=300)
    assert "VxTest".encode("utf-16-le") in (folder_of(vx) / "uefi-vars.fd").read_bytes()
    boots_with_keys_of_its_own(vx)


def boots_with_keys_of_its_own(vx: Vx) -> None:
    """The disk as somebody has it who installed it, put into a machine that gives it no seed."""
    was = folder_of(vx)
    for old, new in (("id_ed25519", "mine"), ("host_ed25519.pub", "host.pub")):
        (was / old).rename(vx.folder / new)
    subprocess.run(
        ["qemu-img", "convert", "-O", "qcow2", was / "disk.img", vx.folder / "own.qcow2"],
        check=True, timeout=120,
    )  # fmt: skip
    vx.run("destroy", "--yes")
    own = f'box = {{ disk = "own.qcow2", user = "debian" }}\n{SETTINGS}[ssh]\nguest_port = 2022\n'
    vx.xhyvefile(own)

    refused = vx.run("up", status=None, timeout=300)

    assert refused.returncode not in (0, 70)
    assert "takes no keys from vx, and no host key is told" in refused.stderr
    assert f"put {folder_of(vx) / 'id_ed25519.pub'} into" in refused.stderr.replace("\n", " ")

    host_key = (vx.folder / "host.pub").read_text().strip()
    vx.xhyvefile(f'{own}key = "mine"\nhost_key = "{host_key}"\n')
    vx.run("up", timeout=900)

    assert ssh(vx, "id -un") == ["debian"]
    (forward,) = (word for word in words(vx) if word.startswith("user,id=net0"))
    assert forward.endswith("-:2022")
    assert f'"{vx.folder / "mine"}"' in vx.run("ssh-config").stdout
    vx.run("halt", timeout=300)
