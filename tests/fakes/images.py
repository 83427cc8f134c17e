"""Disk images in the shapes that distributions publish, of one small Debian that boots.

Built when first asked for, kept in .cache/test-images until what they are made of changes. All at
once, two at a time: ``python -m tests.fakes.images``.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from tests.fakes import images_disk as disk
from tests.fakes import images_root, images_text
from tests.fakes.images_disk import Part, file, folder
from tests.fakes.images_netboot import initramfs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.images_root import Root

ROOT = Path(__file__).resolve().parents[2]
GIB, MIB = 1 << 30, 1 << 20
DEBIAN = "debian-12-genericcloud-amd64-20260712-2537.qcow2"
UBUNTU = "ubuntu-24.04-server-cloudimg-amd64"
CENTOS = "CentOS-Stream-GenericCloud-9-20260720.0.x86_64.qcow2"
ALPINE = "alpine-netboot-3.23.3-x86_64.tar.gz"


@dataclass(frozen=True)
class UbuntuImage:
    disk: Path
    kernel: Path
    initrd: Path


@dataclass(frozen=True)
class VagrantBox:
    box: Path
    key: Path  # opens the account "vagrant", as the insecure key opens a real box


@dataclass(frozen=True)
class Images:
    """``root`` and ``shapes`` are folders of the cache; each shape has one of its own."""

    roots: Path
    shapes: Path

    def root(self) -> Root:
        return images_root.Root(_made(self.roots / "root", images_root.build))

    def debian(self) -> Path:
        """As Debian publishes it: qcow2, its own grub.cfg, cloud-init untouched."""
        return _made(self.shapes / "debian", lambda to: _debian(self.root(), to)) / DEBIAN

    def ubuntu(self) -> UbuntuImage:
        """24.04's: kernels on a partition labelled BOOT, and beside the image in ``unpacked``."""
        made = _made(self.shapes / "ubuntu", lambda to: _ubuntu(self.root(), to))
        unpacked = made / "unpacked" / UBUNTU
        return UbuntuImage(
            made / f"{UBUNTU}.img",
            unpacked.with_name(f"{UBUNTU}-vmlinuz-generic"),
            unpacked.with_name(f"{UBUNTU}-initrd-generic"),
        )

    def centos(self) -> Path:
        """Root and /boot on XFS, BLS entries: the saved one boots, the other two cannot."""
        return _made(self.shapes / "centos", lambda to: _centos(self.root(), to)) / CENTOS

    def alpine_netboot(self) -> Path:
        """boot/vmlinuz-virt and boot/initramfs-virt; its init says so on the console."""
        return _made(self.shapes / "alpine", lambda to: _alpine(self.root(), to)) / ALPINE

    def vagrant_box(self) -> VagrantBox:
        """For libvirt: MBR, no cloud-init, the account "vagrant"."""
        made = _made(self.shapes / "vagrant", lambda to: _vagrant(self.root(), to))
        return VagrantBox(made / "libvirt.box", made / "key")

    def build_all(self, workers: int = 2) -> None:
        """Everything, the slowest first."""
        self.root()
        shapes = (self.centos, self.ubuntu, self.debian, self.vagrant_box, self.alpine_netboot)
        with ThreadPoolExecutor(workers) as pool:
            for built in [pool.submit(shape) for shape in shapes]:
                built.result()


def open_images(cache: Path = ROOT / ".cache" / "test-images") -> Images:
    """The cache's images, after those of other recipes went."""
    cache.mkdir(parents=True, exist_ok=True)
    sources = sorted(Path(__file__).parent.glob("images*.py"))
    roots = cache / f"root-{_digest([Path(images_root.__file__)])}"
    shapes = cache / f"shapes-{_digest(sources)}"
    with FileLock(cache / "lock"):
        for path in cache.iterdir():
            if path.is_dir() and path not in (roots, shapes):
                shutil.rmtree(path)
        roots.mkdir(exist_ok=True)
        shapes.mkdir(exist_ok=True)
    return Images(roots, shapes)


def _digest(sources: list[Path]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def _made(target: Path, make: Callable[[Path], None]) -> Path:
    """``target``, made once whoever asks first: it appears whole or not at all."""
    if not target.exists():
        with FileLock(target.with_suffix(".lock")):
            if not target.exists():
                staged = target.with_suffix(".part")
                shutil.rmtree(staged, ignore_errors=True)
                staged.mkdir()
                make(staged)
                staged.rename(target)
    return target


# --- the shapes ------------------------------------------------------------------------------


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


def _debian(root: Root, to: Path) -> None:
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


def _ubuntu(root: Root, to: Path) -> None:
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


def _centos(root: Root, to: Path) -> None:
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


def _alpine(root: Root, to: Path) -> None:
    (to / "boot").mkdir()
    (to / "boot/vmlinuz-virt").write_bytes(root.kernel.read_bytes())
    (to / "boot/initramfs-virt").write_bytes(gzip.compress(initramfs(root), 1, mtime=0))
    (to / "boot/modloop-virt").write_bytes(b"hsqs" + bytes(4092))  # nothing here mounts it
    (to / "boot/config-virt").write_text("CONFIG_VIRTIO=m\n", encoding="ascii")
    with tarfile.open(to / ALPINE, "w:gz", compresslevel=1) as tar:
        tar.add(to / "boot", "boot")
    shutil.rmtree(to / "boot")


def _vagrant(root: Root, to: Path) -> None:
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


if __name__ == "__main__":
    open_images().build_all()
