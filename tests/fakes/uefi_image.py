"""A Debian disk that boots by UEFI: GRUB on its EFI system partition, and nothing vx would take out.

Made of the image that test images already have, and kept beside those.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from tests.fakes import images
from tests.fakes.images_root import ROOT_UUID
from vagrantish.provider import firmware

if TYPE_CHECKING:
    from collections.abc import Iterable

_GRUB = Path("/usr/lib/grub/x86_64-efi")
_ESP_AT = 8192 * 512  # where images_shapes.debian puts it
_MODULES = (
    "all_video", "configfile", "echo", "ext2", "fat", "gzio", "linux", "loadenv", "normal",
    "part_gpt", "search", "search_fs_uuid", "serial", "terminal", "test",
)  # fmt: skip
_EARLY_CFG = f"search.fs_uuid {ROOT_UUID} root\nset prefix=($root)/boot/grub\n"
MISSING = (
    *images.MISSING,
    *([] if shutil.which("grub-mkimage") else ["grub-mkimage (package grub-common)"]),
    *([] if _GRUB.is_dir() else [f"{_GRUB} (package grub-efi-amd64-bin)"]),
    *([] if firmware.find("qemu").code else ["UEFI for QEMU (package ovmf)"]),
)


def cached(cache: Path = images.ROOT / ".cache" / "test-uefi") -> Path:
    """The disk, a qcow2 image; built when the recipe or the image below it changed."""
    below = images.open_images().debian()
    recipe = Path(__file__).read_bytes() + str(below).encode()
    folder = cache / hashlib.sha256(recipe).hexdigest()[:12]
    disk = folder / "debian-uefi.qcow2"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "lock"):
        for old in cache.iterdir():
            if old.is_dir() and old != folder:
                shutil.rmtree(old)
        if not disk.exists():
            folder.mkdir(exist_ok=True)
            _build(below, folder, disk)
    return disk


def _build(below: Path, folder: Path, disk: Path) -> None:
    raw, loader, early = folder / "raw", folder / "grub.efi", folder / "early.cfg"
    _run(["qemu-img", "convert", "-O", "raw", below, raw])
    early.write_text(_EARLY_CFG, encoding="ascii")
    _run([
        "grub-mkimage", "-O", "x86_64-efi", "-d", _GRUB, "-p", "/boot/grub", "-c", early,
        "-o", loader, *_MODULES,
    ])  # fmt: skip
    # Where firmware looks on a disk it has never seen, as on removable media.
    _run(["mcopy", "-o", "-i", f"{raw}@@{_ESP_AT}", loader, "::/EFI/BOOT/BOOTX64.EFI"])
    staged = folder / "staged"
    _run(["qemu-img", "convert", "-O", "qcow2", raw, staged])
    for path in (raw, loader, early):
        path.unlink()
    staged.rename(disk)


def _run(argv: Iterable[str | Path]) -> None:
    env = os.environ | {"LC_ALL": "C"}
    done = subprocess.run(list(argv), capture_output=True, text=True, env=env)
    assert done.returncode == 0, f"{done.args}: {done.stdout}{done.stderr}"
