"""Small disk images, ISOs and boxes such as users have, which nothing boots."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
from typing import TYPE_CHECKING

from tests.fakes import bootdisks, tinybox
from vagrantish.box.import_job import Wishes
from vagrantish.box.importing import Request, add
from vagrantish.formats import cpio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from vagrantish.box.catalog import Catalog
    from vagrantish.events import Op
    from vagrantish.model import Box, BoxRef, Release
    from vagrantish.paths import VxHome

_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, "gz": lambda data: gzip.compress(data, 1), "xz": lambda data: lzma.compress(data, preset=0),
}  # fmt: skip
RELEASE = "6.8.0-31-generic"
_KERNEL = bytearray(tinybox.kernel())
_KERNEL[0x236] |= 1  # for 64 bits
_KERNEL[0x22C:0x230] = b"\xff\xff\xff\x7f"  # as far up as an initrd may lie
KERNEL = bytes(_KERNEL)
INITRD = gzip.compress(cpio.archive([cpio.file("init", b"#!/bin/sh\n")]), mtime=0)
GRUB = (
    f"menuentry 'Ubuntu' {{\n  linux /boot/vmlinuz-{RELEASE} root=LABEL=root ro quiet\n"
    f"  initrd /boot/initrd.img-{RELEASE}\n}}\n"
)
CLOUD_CFG = (
    "users:\n  - default\n# default_user: no\nsystem_info:\n   distro: ubuntu\n"
    "   default_user:\n     lock_passwd: True\n     name: cloudy\n     groups:\n       name: no\n"
)


def tree(
    os_id: str = "ubuntu", *, cloud_init: bool = True, cloud_cfg: str = CLOUD_CFG, off: bool = False
) -> bootdisks.Tree:
    """The files of a system that a kernel of ours would boot."""
    files: bootdisks.Tree = {
        "/etc/os-release": f'ID={os_id}\nVERSION_ID="24.04"\nPRETTY_NAME="Test {os_id} 24.04"\n',
        f"/boot/vmlinuz-{RELEASE}": KERNEL,
        f"/boot/initrd.img-{RELEASE}": INITRD,
        "/boot/grub/grub.cfg": GRUB,
        "/etc/cloud/cloud.cfg": cloud_cfg,
    }
    if cloud_init:
        files["/usr/bin/cloud-init"] = "#!/usr/bin/python3\n"
    if off:
        files["/etc/cloud/cloud-init.disabled"] = ""
    return files


def disk(target: Path, files: bootdisks.Tree | None = None) -> Path:
    return bootdisks.ext4(target, files or tree(), label="root")


def tar_of(target: Path, members: Mapping[str, bytes | Path], *, packing: str = "") -> Path:
    """The members in their order; ``packing`` is "gz", "xz" or nothing."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in members.items():
            data = content if isinstance(content, bytes) else content.read_bytes()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    target.write_bytes(_PACKERS[packing](packed.getvalue()))
    return target


def metadata(**fields: object) -> bytes:
    return json.dumps(
        {"provider": "libvirt", "format": "qcow2", "virtual_size": 1} | fields
    ).encode()


def imported(
    home: VxHome,
    what: Path | str,
    op: Op,
    *,
    catalog: Catalog | None = None,
    force: bool = False,
    wishes: Wishes | None = None,
) -> Box:
    def settings(ref: BoxRef, arch: str) -> Release | None:
        return catalog.settings(ref, arch) if catalog else None

    request = Request(
        what=str(what),
        wishes=wishes or Wishes(name="mine"),
        settings=settings,
        release=lambda _ref, _arch: None,
        force=force,
    )
    return add(home, request, op=op)


def left_in(home: VxHome, *, but: Iterable[str] = ()) -> list[str]:
    """What a failure left behind."""
    folders = (home.tmp, home.boxes, home.artifacts)
    found = [path for folder in folders if folder.exists() for path in folder.rglob("*")]
    return sorted(path.name for path in found if path.name not in but and not path.is_dir())
