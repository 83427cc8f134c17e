"""ext2, ext3 and ext4 images of mke2fs read as the folder they were made from."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.e2fs import UUID, debugfs, mkfs, needs_e2fsprogs
from tests.fakes.walked import walked, walked_on_host
from vagrantish.formats.device import FileDevice, ImageError
from vagrantish.formats.ext4 import Ext4
from vagrantish.formats.volume import Volume

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_e2fsprogs

SIZES = (0, 1, 59, 60, 61, 150, 156, 157, 158, 160, 1023, 1024, 4096, 70_000)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    rng = random.Random(7)
    (root / "many").mkdir()
    for number in range(3000):
        (root / f"many/a-file-with-number-{number:05}").write_bytes(b"%d" % number * (number % 3))
    (root / "a/b/c").mkdir(parents=True)
    for size in SIZES:
        (root / f"a/b/{size}").write_bytes(rng.randbytes(size))
    (root / "a/few").mkdir()
    (root / "a/few/ü").write_text("umlaut")
    (root / os.fsdecode(b"a/few/\xff")).write_text("not UTF-8")
    (root / "vmlinuz").write_bytes(rng.randbytes(3_000_000))
    with (root / "scattered").open("wb") as file:  # an extent tree two levels high
        for number in range(400):
            file.seek(number * 8192)
            file.write(rng.randbytes(4000))
    (root / "short").symlink_to("vmlinuz")
    for length in (58, 59, 60, 61, 900):
        (root / f"link{length}").symlink_to("x" * length)
    return root


FLAGS = {
    "ubuntu": ("64M", "-b4096", "-Ometadata_csum,64bit,orphan_file"),
    "inline data": ("64M", "-b4096", "-Oinline_data", "-I256"),
    "large inodes": ("64M", "-b1024", "-Oinline_data", "-I1024"),
    "ext3": ("64M", "-text3", "-b1024"),
    "ext2": ("64M", "-text2", "-b4096"),
    "revision 0": ("64M", "-r0", "-b1024"),
    "meta_bg": ("64M", "-Ometa_bg,^resize_inode", "-b1024"),
    "sparse_super2": ("64M", "-Osparse_super2,meta_bg,^resize_inode", "-b1024"),
    "no 64bit": ("64M", "-O^64bit,^metadata_csum", "-b2048"),
    "checksum seed": ("64M", "-Ometadata_csum_seed,ea_inode,large_dir", "-b4096"),
    "marks of encryption": ("64M", "-Ocasefold,encrypt,verity", "-b4096"),
    "bigalloc": ("64M", "-Obigalloc", "-b1024", "-C16384"),
    "64 KiB blocks": ("400M", "-b65536", "-N6000"),
}


@pytest.mark.parametrize("flags", FLAGS)
def test_every_file_is_the_same_whatever_the_flags(flags: str, tree: Path, tmp_path: Path) -> None:
    mkfs(tmp_path / "image", tree, *FLAGS[flags])

    with FileDevice(tmp_path / "image") as device:
        system = Ext4(device)

        assert walked(system) == walked_on_host(tree)
        assert (system.label, system.uuid) == ("cloudimg-rootfs", UUID)
        assert system.kind == {"ext3": "ext3", "ext2": "ext2", "revision 0": "ext2"}.get(
            flags, "ext4"
        )
        assert system.warnings == ()


@pytest.mark.parametrize("flags", ["ubuntu", "inline data", "ext3"])
def test_paths_are_found_one_by_one(flags: str, tree: Path, tmp_path: Path) -> None:
    mkfs(tmp_path / "image", tree, *FLAGS[flags])

    with FileDevice(tmp_path / "image") as device:
        volume = Volume(Ext4(device))

        assert volume.read("/many/a-file-with-number-02999") == b"29992999"
        assert volume.read("/a/b/157") == (tree / "a/b/157").read_bytes()
        assert volume.read("/short", most=3_000_000) == (tree / "vmlinuz").read_bytes()
        assert volume.find("/many/a-file-with-number-0299") is None
        assert volume.names("/a/few") == tuple(sorted(os.listdir(tree / "a/few")))
        node = volume.find("/vmlinuz")
        assert node
        assert node.mode == (tree / "vmlinuz").stat().st_mode & 0o7777


def test_room_that_was_taken_and_not_written_reads_as_zeros(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old" * 50_000)
    (tmp_path / "file").write_bytes(b"new" * 100)
    mkfs(tmp_path / "image", None, "8M", "-b1024")
    debugfs(tmp_path / "image", f"write {tmp_path}/old old", "rm old")
    debugfs(
        tmp_path / "image",
        f"write {tmp_path}/file file", "fallocate file 0 80", "sif file size 60000",
    )  # fmt: skip

    with FileDevice(tmp_path / "image") as device:
        data = Volume(Ext4(device)).read("/file")

    assert data == (b"new" * 100).ljust(60000, b"\0")


def test_a_folder_that_ignores_case_is_searched_so(tmp_path: Path) -> None:
    mkfs(tmp_path / "image", None, "8M", "-b1024", "-Ocasefold")
    debugfs(tmp_path / "image", "mkdir Folder", "sif Folder flags 0x40080000", "mkdir Folder/Sub")

    with FileDevice(tmp_path / "image") as device:
        volume = Volume(Ext4(device))

        assert volume.find("/Folder/sUB")
        assert volume.find("/folder") is None


def test_an_encrypted_folder_is_refused_and_its_neighbours_are_read(tmp_path: Path) -> None:
    mkfs(tmp_path / "image", None, "8M", "-b1024", "-Oencrypt")
    debugfs(tmp_path / "image", "mkdir secret", "sif secret flags 0x80800", "mkdir open")

    with FileDevice(tmp_path / "image") as device:
        volume = Volume(Ext4(device))

        assert volume.names("/open") == ()
        with pytest.raises(ImageError, match=r"its folder with inode \d+ is encrypted"):
            volume.names("/secret")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("feature_incompat", "0x80000002", "feature 0x80000000, which vx cannot read"),
        ("feature_incompat", "0x1002", "uses dirdata"),
        ("feature_incompat", "0xa", "the journal of another file system"),
        ("log_block_size", "9", r"blocks of 2\^19 bytes"),
        ("inode_size", "100", "inodes of 100 bytes"),
        ("blocks_count", "100000", "cut short"),
        ("inodes_per_group", "0", "do not fit each other"),
    ],
)
def test_a_superblock_that_cannot_be_is_refused(
    field: str, value: str, words: str, tmp_path: Path
) -> None:
    mkfs(tmp_path / "image", None, "8M", "-b1024", "-text2")
    debugfs(tmp_path / "image", f"ssv {field} {value}")

    with FileDevice(tmp_path / "image") as device, pytest.raises(ImageError, match=words):
        Ext4(device)


def test_reading_is_faster_than_a_gigabyte_a_second_where_the_host_is(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/initrd").write_bytes(random.Random(1).randbytes(1 << 20) * 64)
    mkfs(tmp_path / "image", tmp_path / "tree", "100M")

    with FileDevice(tmp_path / "image") as device:
        plain, ours = [], []
        for _ in range(3):
            start = time.perf_counter()
            for at in range(0, 64 << 20, 1 << 20):
                device.read_at(at, 1 << 20)
            plain.append(time.perf_counter() - start)
            start = time.perf_counter()
            size = sum(map(len, Volume(Ext4(device)).chunks("/initrd", most=1 << 30)))
            ours.append(time.perf_counter() - start)

    assert size == 64 << 20
    assert min(ours) < 3 * min(plain) + 0.01
