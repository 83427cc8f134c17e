"""Small disks that boot a kernel of their own, as far as one can tell without booting them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fakes import bootdisks as make
from tests.fakes.tinybox import kernel
from vagrantish.formats import cpio

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = "6.1.0-9-amd64", "6.1.0-10-amd64"
TOOLS = ("mkfs.ext4", "qemu-img")


def kernel_of(release: str) -> bytes:
    found = bytearray(kernel())
    found[0x236] = 1  # for 64 bits
    return bytes(found) + release.encode()


def initrd_of(release: str, more: str = "") -> bytes:
    return cpio.archive([cpio.file("release", f"{release}{more}".encode())])


def menu(*releases: str, options: str = "quiet") -> str:
    """As update-grub writes it: the newest first."""
    return "".join(
        f"menuentry 'Linux {release}' {{\n\tlinux /boot/vmlinuz-{release} root=/dev/vda ro {options}\n"
        f"\tinitrd /boot/initrd.img-{release}\n}}\n"
        for release in releases
    )


def tree(*releases: str, options: str = "quiet", grub: str | None = None) -> make.Tree:
    files: make.Tree = {
        "/etc/os-release": 'PRETTY_NAME="A small system"\n',
        "/etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
        "/sbin/init": "#!/bin/sh\n",
        "/boot/grub/grub.cfg": menu(*releases, options=options) if grub is None else grub,
    }
    for release in releases:
        files[f"/boot/vmlinuz-{release}"] = kernel_of(release)
        files[f"/boot/initrd.img-{release}"] = initrd_of(release)
    return files


def disk(target: Path, *releases: str, options: str = "quiet") -> Path:
    """A raw disk of 16 MiB, an ext4 file system from end to end."""
    return make.ext4(target, tree(*releases, options=options))
