"""Btrfs images made by mkfs.btrfs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.fakes import bootdisks as make
from tests.fakes.bytesdevice import BytesDevice
from vagrantish.formats.btrfs import Btrfs
from vagrantish.formats.device import FileDevice, ImageError
from vagrantish.formats.volume import NodeKind, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    bool(make.missing("mkfs.btrfs")), reason="mkfs.btrfs is not installed"
)

KERNEL = random.Random(3).randbytes(3_000_001)
TREE: make.Tree = {
    "/root/boot/vmlinuz-6.1": KERNEL,
    "/root/etc/os-release": make.Link("../usr/lib/os-release"),
    "/root/usr/lib/os-release": "NAME=x\n",
    "/root/small": "inline",
    "/root/back\\slash": "",
    **{f"/many/{number}": "" for number in range(300)},
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.btrfs(tmp_path_factory.mktemp("btrfs") / "image", TREE, label="fedora")


@pytest.fixture
def volume(image: Path) -> Iterator[Volume]:
    with FileDevice(image) as device:
        yield Volume(Btrfs(device))


def test_files_links_and_folders_are_read(volume: Volume) -> None:
    assert volume.names("/") == ("many", "root")
    assert len(volume.names("/many")) == 300
    assert volume.read("/root/boot/vmlinuz-6.1", most=1 << 22) == KERNEL
    assert volume.read("/root/etc/os-release") == b"NAME=x\n"
    assert volume.read("/root/small") == b"inline"
    assert volume.find("/root/none") is None
    assert volume.find("/root/small/none") is None


def test_entries_come_with_their_kinds(volume: Volume) -> None:
    folder = volume.find("/root")
    assert folder is not None

    kinds = {name: node.kind for name, node in volume.system.children(folder)}

    assert kinds["small"] is NodeKind.FILE
    assert kinds["etc"] is NodeKind.FOLDER
    assert "back\\slash" in kinds


def test_label_and_uuid_are_those_that_blkid_shows(volume: Volume, image: Path) -> None:
    if missing := make.missing("blkid"):
        pytest.skip(f"{missing} is not installed")

    shown = make.run("blkid", "-p", "-o", "export", image).splitlines()

    assert {f"LABEL={volume.system.label}", f"UUID={volume.system.uuid}"} <= set(shown)
    assert volume.system.label == "fedora"


def test_a_name_the_library_cannot_tell_from_a_path_is_refused(volume: Volume) -> None:
    with pytest.raises(ImageError, match="cannot look up"):
        volume.find("/root/back\\slash")


def test_an_image_cut_short_is_told_as_damage(image: Path) -> None:
    with FileDevice(image) as device:
        head = device.read_at(0, 1 << 20)

    with pytest.raises(ImageError, match="cannot be read"):
        Volume(Btrfs(BytesDevice(head))).names("/")


def test_a_part_of_several_disks_is_refused(image: Path) -> None:
    with FileDevice(image) as device:
        head = bytearray(device.read_at(0, 1 << 20))
    head[0x10000 + 136] = 2

    with pytest.raises(ImageError, match="over 2 disks"):
        Btrfs(BytesDevice(bytes(head)))
