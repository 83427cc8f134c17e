"""Partition tables written by sgdisk and sfdisk, read as partx reads them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from vagrantish.formats.device import FileDevice, ImageError
from vagrantish.formats.partitions import ESP, LINUX, Partition, partitions

needs_sgdisk = pytest.mark.skipif(shutil.which("sgdisk") is None, reason="needs gdisk")
needs_sfdisk = pytest.mark.skipif(shutil.which("sfdisk") is None, reason="needs fdisk")

MIB = 1 << 20
DISK = 32 * MIB
GUID = "0fc63daf-8483-4772-8e79-00000000000"


def read(image: Path) -> tuple[Partition, ...]:
    with FileDevice(image) as device:
        return partitions(device)


def blank(path: Path, size: int = DISK) -> Path:
    path.touch()
    os.truncate(path, size)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Laid out as cloud images are: the root is number 1 and lies last."""
    image = blank(tmp_path_factory.mktemp("gpt") / "disk")
    script = "-a2048 -n14:2048:+1M -t14:ef02 -n15:0:+6M -t15:ef00 -n1:0:0 -c1:cloudimg-röot"
    subprocess.run(
        ["sgdisk", "-Z", *script.split(), f"-u1:{GUID}1", str(image)],
        check=True,
        capture_output=True,
    )
    return image


@pytest.fixture
def ubuntu(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "disk"))


def patch(image: Path, at: int, data: bytes) -> None:
    with image.open("r+b") as file:
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        file.write(data)


@needs_sgdisk
def test_a_gpt_is_read_in_the_order_of_its_numbers(ubuntu: Path) -> None:
    root, bios, esp = read(ubuntu)

    assert (root.number, root.start) == (1, 8 * MIB)
    assert DISK - MIB <= root.start + root.size <= DISK - 33 * 512
    assert (root.type, root.name, root.uuid) == (LINUX, "cloudimg-röot", f"{GUID}1")
    assert (bios.number, bios.start, bios.size) == (14, MIB, MIB)
    assert (esp.number, esp.type, esp.size) == (15, ESP, 6 * MIB)


@needs_sgdisk
@pytest.mark.parametrize("at", [512, 512 + 40, 1024, 1024 + 128 * 13 + 33])
def test_the_backup_serves_where_the_first_table_is_damaged(at: int, ubuntu: Path) -> None:
    whole = read(ubuntu)

    patch(ubuntu, at, b"\xff" * 4)

    assert read(ubuntu) == whole


@needs_sgdisk
@pytest.mark.parametrize("at", [1024, 512 + 60])
def test_a_disk_that_was_enlarged_keeps_its_table_and_its_misplaced_backup(
    at: int, ubuntu: Path
) -> None:
    whole = read(ubuntu)
    os.truncate(ubuntu, 90 * MIB)
    enlarged = read(ubuntu)

    patch(ubuntu, at, b"\xff")

    assert enlarged == whole == read(ubuntu)


@needs_sgdisk
def test_a_gpt_without_any_whole_table_is_refused(ubuntu: Path) -> None:
    patch(ubuntu, 512 + 24, b"\xee")
    patch(ubuntu, -512 + 24, b"\xee")

    with pytest.raises(ImageError, match=r"at byte 512, its GPT is damaged"):
        read(ubuntu)


@needs_sgdisk
def test_a_disk_cut_short_is_refused(ubuntu: Path) -> None:
    os.truncate(ubuntu, 20 * MIB)

    with pytest.raises(
        ImageError, match=r"partition 1 ends at byte \d+, and the disk has 20971520"
    ):
        read(ubuntu)


def sfdisk(image: Path, script: str) -> None:
    subprocess.run(
        ["sfdisk", "--no-reread", str(image)],
        input=script, text=True, check=True, capture_output=True,
    )  # fmt: skip


def partx(image: Path) -> list[str]:
    listing = subprocess.run(
        ["partx", "-o", "NR,START,SECTORS,TYPE,UUID", "-b", "--raw", "-g", str(image)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return [line for line in listing.splitlines() if line.split()[3] not in ("0x5", "0xf")]


@needs_sfdisk
@pytest.mark.skipif(shutil.which("partx") is None, reason="needs partx")
def test_primary_and_logical_partitions_are_what_partx_says(tmp_path: Path) -> None:
    image = blank(tmp_path / "disk")
    sfdisk(
        image,
        "label: dos\nlabel-id: 0x1234abcd\n"
        "start=2048, size=5MiB, type=83, bootable\n"
        "size=20MiB, type=f\nsize=1MiB, type=82\n"
        "size=2MiB, type=83\nsize=3MiB, type=8e\nsize=4MiB, type=83\n",
    )

    found = read(image)

    assert len(found) == 5
    assert [
        f"{p.number} {p.start // 512} {p.size // 512} {p.type.replace('0x0', '0x')} {p.uuid}"
        for p in sorted(found, key=lambda p: p.number)
    ] == partx(image)
    assert found[0].uuid == "1234abcd-01"


@pytest.mark.skipif(shutil.which("mkfs.vfat") is None, reason="needs dosfstools")
@pytest.mark.parametrize(("bits", "mebibytes"), [(12, 1), (16, 32), (32, 64)])
def test_a_disk_that_is_a_fat_file_system_has_no_partitions(
    bits: int, mebibytes: int, tmp_path: Path
) -> None:
    image = blank(tmp_path / "disk", mebibytes * MIB)
    subprocess.run(
        ["mkfs.vfat", f"-F{bits}", "-s1", "--mbr=n", str(image)], check=True, capture_output=True
    )
    patch(image, 446, bytes([0x80, 1, 1, 0, 0x0C, 1, 1, 1, 1, 8, 0, 0, 1, 8, 0, 0]))

    assert read(image) == ()
