"""How each distribution's image is put together out of the one root, in an empty folder."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

from tests.fakes import images_disk as disk
from tests.fakes import images_root, images_text
from tests.fakes.images_disk import Part, file, folder
from tests.fakes.images_netboot import initramfs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.images_root import Root

GIB, MIB = 1 << 30, 1 << 20
DEBIAN = "debian-12-genericcloud-amd64-20260712-2537.qcow2"
UBUNTU = "ubuntu-24.04-server-cloudimg-amd64"
CENTOS = "CentOS-Stream-GenericCloud-9-20260720.0.x86_64.qcow2"
ALPINE = "alpine-netboot-3.23.3-x86_64.tar.gz"


def _common(*, os_id: str, name: str, version: str) -> disk.Changes:
    return {
        "/usr/lib/os-release": file(images_text.os_release(os_id, name, version))
    } | _published()


def _published() -> disk.Changes:
    """What every publisher sets, and Debian's installer would."""
    return {
        "/etc/hostname": file("localhost\n"),
        # Without it cloud-init asks for a language that is not there, and fails.
        "/etc/default/locale": file("LANG=C.UTF-8\n"),
    }


def _without_boot(root: Root) -> disk.Changes:
    """The kernel is on a partition of its own."""
    links = ("/vmlinuz", "/vmlinuz.old", "/initrd.img", "/initrd.img.old")
    kernels = [entry.path for entry in root.entries if entry.path.startswith("/boot/")]
    return dict.fromkeys((*links, *kernels))


def debian(root: Root, to: Path) -> None:
    changes = _published() | {
        "/etc/fstab": file(images_text.DEBIAN_FSTAB),
        "/boot/grub": folder(),
        "/boot/grub/grub.cfg": file(images_text.debian_grub_cfg(root.version), 0o600),
    }
    size, start = 3 * GIB, 262144
    sectors = size // 512 - start - 34
    disk.root_ext4(root, to / "root", size_bytes=sectors * 512, changes=changes)
    disk.new_esp(to / "esp", size_bytes=253952 * 512)
    disk.write_gpt(
        to / "raw",
        size,
        [
            Part(1, start, sectors, "8300", to / "root", guid=images_text.DEBIAN_PARTUUID),
            Part(14, 2048, 6144, "ef02"),
            Part(15, 8192, 253952, "ef00", to / "esp"),
        ],
    )
    disk.qcow2(to / "raw", to / DEBIAN, "-c")
    _drop(to / "root", to / "esp")


def ubuntu(root: Root, to: Path) -> None:
    changes = _common(os_id="ubuntu", name="Ubuntu", version="24.04") | _without_boot(root)
    changes |= {
        "/etc/fstab": file(images_text.UBUNTU_FSTAB),
        "/boot/efi": folder(),
        "/etc/cloud/cloud.cfg": file(images_text.cloud_cfg(root, user="ubuntu", distro="ubuntu")),
    }
    size, boot_start, start = 3584 * MIB, 227328, 2099200
    sectors = size // 512 - start - 34
    disk.root_ext4(
        root, to / "root", size_bytes=sectors * 512, label="cloudimg-rootfs", changes=changes
    )
    disk.new_ext4(
        to / "boot",
        size_bytes=(start - boot_start) * 512,
        label="BOOT",
        uuid="0b8f1d2c-5a1e-4b55-8d8f-9a9d6f1f7e16",
        changes={
            f"/vmlinuz-{root.version}": file(root.kernel, 0o600),
            f"/initrd.img-{root.version}": file(root.initrd),
            "/vmlinuz": disk.link(f"vmlinuz-{root.version}"),
            "/initrd.img": disk.link(f"initrd.img-{root.version}"),
            "/efi": folder(0o700),
            "/grub": folder(),
            "/grub/grub.cfg": file(images_text.ubuntu_grub_cfg(root.version), 0o600),
        },
    )
    disk.new_esp(to / "esp", size_bytes=217088 * 512, label="UEFI")
    disk.write_gpt(
        to / "raw",
        size,
        [
            Part(1, start, sectors, "8300", to / "root", name="cloudimg-rootfs"),
            Part(14, 2048, 8192, "ef02"),
            Part(15, 10240, 217088, "ef00", to / "esp"),
            Part(16, boot_start, start - boot_start, "ea00", to / "boot"),
        ],
    )
    disk.qcow2(to / "raw", to / f"{UBUNTU}.img", "-c")
    _drop(to / "root", to / "boot", to / "esp")
    (to / "unpacked").mkdir()
    shutil.copy(root.kernel, to / "unpacked" / f"{UBUNTU}-vmlinuz-generic")
    shutil.copy(root.initrd, to / "unpacked" / f"{UBUNTU}-initrd-generic")


def centos(root: Root, to: Path) -> None:
    changes = _common(os_id="centos", name="CentOS Stream", version="9") | _without_boot(root)
    changes |= {
        "/etc/fstab": file(images_text.CENTOS_FSTAB),
        "/boot/efi": folder(),
        "/etc/cloud/cloud.cfg": file(
            images_text.cloud_cfg(root, user="cloud-user", distro="debian")
        ),
    }
    size, boot_start, start = 10 * GIB, 413696, 2510848
    sectors = size // 512 - start - 34
    disk.new_xfs(
        to / "root",
        disk.root_files(root, changes),
        size_bytes=sectors * 512,
        label="root",
        uuid=images_text.CENTOS_ROOT_UUID,
    )
    disk.new_xfs(
        to / "boot",
        images_text.centos_boot(root),
        size_bytes=(start - boot_start) * 512,
        label="boot",
        uuid=images_text.CENTOS_BOOT_UUID,
    )
    disk.new_esp(to / "esp", size_bytes=409600 * 512)
    disk.write_gpt(
        to / "raw",
        size,
        [
            Part(1, 2048, 2048, "ef02", name="p.legacy"),
            Part(2, 4096, 409600, "ef00", to / "esp", name="p.UEFI"),
            Part(3, boot_start, start - boot_start, "ea00", to / "boot", name="p.lxboot"),
            Part(4, start, sectors, "8304", to / "root", name="p.lxroot"),
        ],
    )
    disk.qcow2(to / "raw", to / CENTOS, "-c")
    _drop(to / "root", to / "boot", to / "esp")


def alpine(root: Root, to: Path) -> None:
    (to / "boot").mkdir()
    (to / "boot/vmlinuz-virt").write_bytes(root.kernel.read_bytes())
    (to / "boot/initramfs-virt").write_bytes(gzip.compress(initramfs(root), 1, mtime=0))
    (to / "boot/modloop-virt").write_bytes(b"hsqs" + bytes(4092))  # nothing here mounts it
    (to / "boot/config-virt").write_text("CONFIG_VIRTIO=m\n", encoding="ascii")
    with tarfile.open(to / ALPINE, "w:gz", compresslevel=1) as tar:
        tar.add(to / "boot", "boot")
    shutil.rmtree(to / "boot")


def vagrant(root: Root, to: Path) -> None:
    for name in ("key", "host"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", to / name], check=True
        )
    changes = images_text.vagrant_changes(
        root,
        authorized=(to / "key.pub").read_text(encoding="ascii"),
        host_key=(to / "host").read_bytes(),
    )
    changes |= _common(os_id="debian", name="Debian", version="12")
    changes |= {
        "/etc/fstab": file(f"UUID={images_root.ROOT_UUID} / ext4 errors=remount-ro 0 1\n"),
        "/boot/grub": folder(),
        "/boot/grub/grub.cfg": file(images_text.vagrant_grub_cfg(root.version), 0o600),
    }
    size = 4 * GIB
    sectors = size // 512 - 2048
    disk.root_ext4(root, to / "root", size_bytes=sectors * 512, changes=changes)
    disk.write_mbr(to / "raw", size, [Part(1, 2048, sectors, "83", to / "root")])
    disk.qcow2(to / "raw", to / "box.img")
    (to / "metadata.json").write_text(
        '{"provider": "libvirt", "format": "qcow2", "virtual_size": 4}\n', encoding="ascii"
    )
    (to / "Vagrantfile").write_text(images_text.VAGRANTFILE, encoding="ascii")
    members = ("metadata.json", "Vagrantfile", "box.img")
    subprocess.run(
        ["tar", "-C", to, "-S", "-I", "gzip -1", "--owner=0", "--group=0", "-cf",
         to / "libvirt.box", *members],
        check=True,
    )  # fmt: skip
    _drop(to / "root", to / "host", to / "host.pub", *(to / member for member in members))


def _drop(*paths: Path) -> None:
    for path in paths:
        path.unlink()
