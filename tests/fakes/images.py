"""Disk images in the shapes that distributions publish, of one small Debian that boots.

Built when first asked for, kept in .cache/test-images until what they are made of changes. All at
once, two at a time: ``python -m tests.fakes.images``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from tests.fakes import images_root, images_shapes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.images_root import Root

ROOT = Path(__file__).resolve().parents[2]
MISSING = tuple(
    name
    for name in (
        "apt-get", "debugfs", "mcopy", "mke2fs", "mkfs.vfat", "mkfs.xfs", "mmdebstrap", "qemu-img",
        "resize2fs", "sfdisk", "sgdisk", "ssh-keygen", *([] if os.geteuid() == 0 else ["fakeroot", "newuidmap"]),
    )
    if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None
)  # fmt: skip


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
        return self._shape(images_shapes.debian) / images_shapes.DEBIAN

    def ubuntu(self) -> UbuntuImage:
        """24.04's: kernels on a partition labelled BOOT, and beside the image in ``unpacked``."""
        made, stem = self._shape(images_shapes.ubuntu), images_shapes.UBUNTU
        return UbuntuImage(
            made / f"{stem}.img",
            made / "unpacked" / f"{stem}-vmlinuz-generic",
            made / "unpacked" / f"{stem}-initrd-generic",
        )

    def centos(self) -> Path:
        """Root and /boot on XFS, BLS entries: the saved one boots, the other two cannot."""
        return self._shape(images_shapes.centos) / images_shapes.CENTOS

    def alpine_netboot(self) -> Path:
        """boot/vmlinuz-virt and boot/initramfs-virt; its init says so on the console."""
        return self._shape(images_shapes.alpine) / images_shapes.ALPINE

    def vagrant_box(self) -> VagrantBox:
        """For libvirt: MBR, no cloud-init, the account "vagrant"."""
        made = self._shape(images_shapes.vagrant)
        return VagrantBox(made / "libvirt.box", made / "key")

    def _shape(self, make: Callable[[Root, Path], None]) -> Path:
        return _made(self.shapes / make.__name__, lambda to: make(self.root(), to))

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


if __name__ == "__main__":
    open_images().build_all()
