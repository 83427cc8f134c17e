"""The test images lie as the published ones do: Debian's own tools look at them."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.fakes import images_text
from tests.fakes.images import MISSING, Images, open_images

if TYPE_CHECKING:
    from pathlib import Path

ORACLES = ("blkid", "e2fsck", "xfs_db", "xfs_repair")
ABSENT = [
    *MISSING,
    *(tool for tool in ORACLES if shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin") is None),
]

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def images() -> Images:
    return open_images()


def raw(image: Path, folder: Path) -> Path:
    """The disk itself, sparse."""
    disk = folder / "disk.raw"
    tool("qemu-img", "convert", "-O", "raw", image, disk)
    return disk


def tool(*argv: str | Path) -> str:
    done = subprocess.run(list(argv), capture_output=True, text=True)
    assert done.returncode == 0, done
    return done.stdout


def partitions(disk: Path) -> dict[int, dict[str, str]]:
    """What sfdisk says of each, with the file system's label and type added."""
    shown = json.loads(tool("/usr/sbin/sfdisk", "--json", disk))["partitiontable"]
    found = {}
    for part in shown["partitions"]:
        number = int(part["node"].removeprefix(str(disk)))
        offset = part["start"] * 512
        options = ("-p", "-O", str(offset), "-S", str(part["size"] * 512), "-o", "export")
        probe = subprocess.run(
            ["/usr/sbin/blkid", *options, disk], capture_output=True, text=True
        ).stdout
        words = dict(line.split("=", 1) for line in probe.splitlines() if "=" in line)
        size = str(part["size"] * 512)
        found[number] = {"offset": str(offset), "size": size, "type": part["type"], **words}
    return found


def content(disk: Path, part: dict[str, str]) -> Path:
    """The partition as a sparse file of its own."""
    image = disk.with_name("partition")
    source = f"driver=raw,offset={part['offset']},size={part['size']},file.filename={disk}"
    tool("qemu-img", "convert", "-O", "raw", "--image-opts", source, image)
    return image


def ext4_text(disk: Path, part: dict[str, str], path: str) -> str:
    return tool("/usr/sbin/debugfs", "-R", f"cat {path}", f"{disk}?offset={part['offset']}")


def are_sound(disk: Path, parts: dict[int, dict[str, str]]) -> None:
    for part in parts.values():
        if part.get("TYPE") == "ext4":
            tool("/usr/sbin/e2fsck", "-fn", f"{disk}?offset={part['offset']}")
        elif part.get("TYPE") == "xfs":
            tool("/usr/sbin/xfs_repair", "-n", "-f", content(disk, part))


def test_debians_kernel_lies_on_a_root_without_a_label(images: Images, tmp_path: Path) -> None:
    disk = raw(images.debian(), tmp_path)
    found = partitions(disk)

    assert sorted(found) == [1, 14, 15]
    assert (found[1]["TYPE"], found[1]["offset"]) == ("ext4", str(262144 * 512))
    assert "LABEL" not in found[1]
    assert found[15]["TYPE"] == "vfat"
    menu = ext4_text(disk, found[1], "/boot/grub/grub.cfg")
    assert f"linux\t/boot/vmlinuz-{images.root().version} root=PARTUUID=" in menu
    kernel = tool("/usr/sbin/debugfs", "-R", "stat /vmlinuz", f"{disk}?offset={found[1]['offset']}")
    assert f"boot/vmlinuz-{images.root().version}" in kernel
    are_sound(disk, found)


def test_ubuntus_kernel_lies_on_a_partition_of_its_own_and_beside_the_image(
    images: Images, tmp_path: Path
) -> None:
    ubuntu = images.ubuntu()
    disk = raw(ubuntu.disk, tmp_path)
    found = partitions(disk)

    labels = {number: part.get("LABEL") for number, part in found.items()}
    assert labels == {1: "cloudimg-rootfs", 14: None, 15: "UEFI", 16: "BOOT"}
    assert "LABEL=BOOT" in ext4_text(disk, found[1], "/etc/fstab")
    tool(
        "/usr/sbin/debugfs", "-R", f"dump /vmlinuz-{images.root().version} {tmp_path / 'kernel'}",
        f"{disk}?offset={found[16]['offset']}",
    )  # fmt: skip
    assert (tmp_path / "kernel").read_bytes() == ubuntu.kernel.read_bytes()
    are_sound(disk, found)


def test_centos_has_three_entries_on_an_xfs_boot(images: Images, tmp_path: Path) -> None:
    disk = raw(images.centos(), tmp_path)
    found = partitions(disk)

    assert [found[number].get("TYPE") for number in (2, 3, 4)] == ["vfat", "xfs", "xfs"]
    assert (found[3]["LABEL"], found[4]["LABEL"]) == ("boot", "root")
    boot = content(disk, found[3])
    listed = tool("/usr/sbin/xfs_db", "-r", "-c", "path /loader/entries", "-c", "ls", boot)
    names = [line.split()[5] for line in listed.splitlines() if line.endswith("(good)")]
    entries = [name for name in names if name.endswith(".conf")]
    assert sorted(entries) == sorted(
        f"{images_text.MACHINE_ID}-{version}.conf"
        for version in (images_text.OLDER, images_text.NEWER, "0-rescue")
    )
    are_sound(disk, found)


def test_the_vagrant_box_holds_a_qcow2_of_one_mbr_partition(images: Images, tmp_path: Path) -> None:
    with tarfile.open(images.vagrant_box().box) as tar:
        assert tar.getnames() == ["metadata.json", "Vagrantfile", "box.img"]
        tar.extractall(tmp_path, filter="data")
    disk = raw(tmp_path / "box.img", tmp_path)
    found = partitions(disk)

    assert {number: part["type"] for number, part in found.items()} == {1: "83"}
    passwd = ext4_text(disk, found[1], "/etc/passwd")
    assert "vagrant:x:1000:1000" in passwd
    public = images.vagrant_box().key.with_suffix(".pub").read_text(encoding="ascii")
    assert ext4_text(disk, found[1], "/home/vagrant/.ssh/authorized_keys") == public
