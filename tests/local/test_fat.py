"""FAT images of dosfstools and mtools read as the folder they were made from."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.fakes.walked import walked, walked_on_host
from vagrantish.formats.device import FileDevice, ImageError
from vagrantish.formats.fat import Fat
from vagrantish.formats.volume import Volume

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not (shutil.which("mkfs.vfat") and shutil.which("mcopy")), reason="needs dosfstools and mtools"
)

MIB = 1 << 20
# Width → (MiB, sectors of a cluster).
SIZES = {12: (8, 16), 16: (16, 2), 32: (34, 1)}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    rng = random.Random(5)
    (root / "EFI/BOOT").mkdir(parents=True)
    (root / "EFI/BOOT/BOOTX64.EFI").write_bytes(rng.randbytes(3_000_000))
    (root / "sub").mkdir()
    for number in range(500):
        (root / f"sub/number-{number}-of-many").write_bytes(b"%d" % number)
    for name in ("user-data", "lower.txt", "UPPER.TXT", "other.TXT", "MiXed.t", "no.two.dots"):
        (root / name).write_bytes(name.encode())
    (root / "A name with ümlaut, a 日本 and 13 or more letters").write_bytes(b"long")
    (root / "exactly13char").write_bytes(b"")
    for size in (0, 1, 511, 512, 513, 8192, 70_000):
        (root / f"sub/s{size}").write_bytes(rng.randbytes(size))
    return root


def make(image: Path, bits: int, *options: str) -> Path:
    mebibytes, per_cluster = SIZES[bits]
    image.touch()
    os.truncate(image, mebibytes * MIB)
    subprocess.run(
        ["mkfs.vfat", f"-F{bits}", f"-s{per_cluster}", "-i", "1234abcd", *options, str(image)],
        check=True,
        capture_output=True,
    )
    return image


def mtools(*words: str) -> None:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MTOOLS_SKIP_CHECK": "1"}
    subprocess.run(words, check=True, capture_output=True, env=environment)


@pytest.fixture(params=SIZES)
def image(request: pytest.FixtureRequest, tree: Path, tmp_path: Path) -> Path:
    path = make(tmp_path / "image", request.param, "-n", "CIDATA")
    mtools("mcopy", "-s", "-i", str(path), *map(str, tree.iterdir()), "::/")
    return path


def test_every_file_is_the_same_whatever_the_width(image: Path, tree: Path) -> None:
    with FileDevice(image) as device:
        system = Fat(device)

        assert walked(system) == walked_on_host(tree)
        assert (system.kind, system.label, system.uuid) == ("vfat", "CIDATA", "1234-ABCD")


def test_names_are_found_whatever_their_case_and_by_their_short_form(image: Path) -> None:
    with FileDevice(image) as device:
        volume = Volume(Fat(device))

        assert volume.read("/efi/boot/bootx64.efi", most=4 * MIB)
        assert volume.read("/USER-DATA") == b"user-data"
        assert volume.read("/SUB/NUMBER-7-OF-MANY") == b"7"
        assert volume.read("/sub/NUMBER~1")
        assert volume.find("/sub/number") is None


def test_files_in_pieces_are_put_together(tmp_path: Path) -> None:
    image = make(tmp_path / "image", 16)
    (tmp_path / "small").write_bytes(b"s" * 3000)
    (tmp_path / "large").write_bytes(random.Random(2).randbytes(200_000))
    for number in range(60):
        mtools("mcopy", "-i", str(image), str(tmp_path / "small"), f"::/{number}")
    mtools("mdel", "-i", str(image), *(f"::/{number}" for number in range(0, 60, 2)))
    mtools("mcopy", "-i", str(image), str(tmp_path / "large"), "::/large")

    with FileDevice(image) as device:
        volume = Volume(Fat(device))

        assert volume.read("/large") == (tmp_path / "large").read_bytes()
        assert volume.names("/") == tuple(sorted(["large", *map(str, range(1, 60, 2))]))


@pytest.mark.parametrize("bits", SIZES)
def test_without_a_label_there_is_none(bits: int, tmp_path: Path) -> None:
    with FileDevice(make(tmp_path / "image", bits)) as device:
        assert Fat(device).label == ""


def test_the_label_of_the_root_counts(tmp_path: Path) -> None:
    image = make(tmp_path / "image", 32, "-n", "FIRST")
    mtools("mlabel", "-i", str(image), "::SECOND")
    with image.open("r+b") as file:
        file.seek(71)
        file.write(b"OTHER      ")

    with FileDevice(image) as device:
        assert Fat(device).label == "SECOND"


def test_the_copy_of_the_table_that_counts_is_read(tmp_path: Path) -> None:
    image = make(tmp_path / "image", 32)
    (tmp_path / "file").write_bytes(b"x" * 5000)
    mtools("mcopy", "-i", str(image), str(tmp_path / "file"), "::/file")
    with image.open("r+b") as file:
        file.seek(40)
        file.write(b"\x81\0")
        file.seek(32 * 512)
        file.write(bytes(4096))

    with FileDevice(image) as device:
        assert Volume(Fat(device)).read("/file") == b"x" * 5000


@pytest.mark.parametrize("to", [0, 1, 5, 6, 0xFFF0])
def test_a_chain_that_leads_astray_or_round_in_circles_is_refused(to: int, tmp_path: Path) -> None:
    image = make(tmp_path / "image", 16)
    (tmp_path / "file").write_bytes(b"x" * 50_000)
    mtools("mcopy", "-i", str(image), str(tmp_path / "file"), "::/file")
    data = bytearray(image.read_bytes())
    reserved = int.from_bytes(data[14:16], "little") * 512
    data[reserved + 20 : reserved + 22] = to.to_bytes(2, "little")  # of cluster 10
    image.write_bytes(data)

    with FileDevice(image) as device, pytest.raises(ImageError, match=r"its FAT leads"):
        Volume(Fat(device)).read("/file")


def test_a_chain_that_ends_early_is_told(tmp_path: Path) -> None:
    image = make(tmp_path / "image", 16)
    (tmp_path / "file").write_bytes(b"x" * 50_000)
    mtools("mcopy", "-i", str(image), str(tmp_path / "file"), "::/file")
    data = bytearray(image.read_bytes())
    reserved = int.from_bytes(data[14:16], "little") * 512
    data[reserved + 20 : reserved + 22] = b"\xff\xff"
    image.write_bytes(data)

    with FileDevice(image) as device, pytest.raises(ImageError, match="file is cut short"):
        Volume(Fat(device)).read("/file")


def test_an_image_cut_short_is_refused(tmp_path: Path) -> None:
    image = make(tmp_path / "image", 16)
    os.truncate(image, 15 * MIB)

    with FileDevice(image) as device, pytest.raises(ImageError, match="cut short"):
        Fat(device)
