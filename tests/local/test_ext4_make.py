"""ext4 images made without mkfs: e2fsck finds nothing to mend, and debugfs what was put in."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.fakes.e2fs import UUID, check, needs_e2fsprogs
from tests.fakes.walked import FOLDER, walked
from vagrantish.formats.device import FileDevice, ImageError
from vagrantish.formats.ext4 import Ext4
from vagrantish.formats.ext4_make import Item, make_ext4
from vagrantish.formats.volume import NodeKind, Volume

if TYPE_CHECKING:
    from pathlib import Path

MIB, GIB = 1 << 20, 1 << 30
TCE = (
    Item(path="tce", kind=NodeKind.FOLDER, mode=0o775, uid=1001, gid=50, modified=1_700_000_000),
    Item(path="tce/optional", kind=NodeKind.FOLDER, mode=0o775, uid=1001, gid=50),
    Item(path="tce/onboot.lst", kind=NodeKind.FILE, mode=0o664, uid=1001, gid=50, data=b"ssh.tcz\n"),
    Item(path="tce/empty", kind=NodeKind.FILE, mode=0o4755, uid=70_000, gid=80_000),
    Item(path="tce/last", kind=NodeKind.FILE, mode=0o600, modified=5_000_000_000, data=b"x" * 4096),
    Item(path="near", kind=NodeKind.LINK, mode=0o777, target="tce/onboot.lst"),
    Item(path="far", kind=NodeKind.LINK, mode=0o777, target="y" * 300),
)  # fmt: skip


def make(path: Path, size: int, *items: Item) -> Path:
    make_ext4(path, size, label="vx-data", uuid=UUID, items=items)
    return path


def debugfs(image: Path, command: str) -> str:
    done = subprocess.run(["debugfs", "-R", command, str(image)], capture_output=True, text=True)
    return done.stdout


def many_files(count: int) -> list[Item]:
    return [
        Item(path=f"tce/optional/{n:05}.tcz", kind=NodeKind.FILE, mode=0o644, data=b"%d" % n * 1200)
        for n in range(count)
    ]


@needs_e2fsprogs
@pytest.mark.parametrize(
    "size", [8 * MIB, 64 * MIB, GIB, GIB + 128 * MIB + 30 * 4096 + 7, 20 * GIB]
)
def test_e2fsck_is_content_with_an_image_of_any_size(size: int, tmp_path: Path) -> None:
    count = 100 if size == 8 * MIB else 1500

    image = make(tmp_path / "image", size, *TCE, *many_files(count))

    check(image)
    assert image.stat().st_size == size
    assert image.stat().st_blocks * 512 < count * 8192 + 6 * MIB
    with FileDevice(image) as device:
        system = Ext4(device)
        found = walked(system)
        assert (system.kind, system.label, system.uuid) == ("ext4", "vx-data", UUID)
    assert len(found) == len(TCE) + count
    assert found["/far"] == "-> " + "y" * 300
    assert found["/tce/optional"] == FOLDER
    assert found["/tce/optional/00099.tcz"] == hashlib.sha256(b"99" * 1200).hexdigest()


@needs_e2fsprogs
def test_an_empty_image_has_nothing_to_mend(tmp_path: Path) -> None:
    check(make(tmp_path / "image", 8 * MIB))


@needs_e2fsprogs
def test_owners_modes_and_times_are_kept(tmp_path: Path) -> None:
    image = make(tmp_path / "image", 8 * MIB, *TCE)

    folder, special, late = (debugfs(image, f"stat tce{p}") for p in ("", "/empty", "/last"))

    assert re.search(r"Type: directory\s+Mode:\s+0775", folder)
    assert re.search(r"User:\s+1001\s+Group:\s+50\b", folder)
    assert "0x6553f100" in folder
    assert "Links: 3" in folder
    assert re.search(r"Mode:\s+04755", special)
    assert re.search(r"User:\s+70000\s+Group:\s+80000", special)
    assert re.search(r"mtime: .* 2128$", late, re.MULTILINE)


@needs_e2fsprogs
def test_it_has_an_empty_journal_the_kernel_knows(tmp_path: Path) -> None:
    image = make(tmp_path / "image", 64 * MIB)
    head = subprocess.run(["dumpe2fs", "-h", str(image)], capture_output=True, text=True).stdout

    assert "has_journal" in head
    assert re.search(r"Total journal blocks:\s+1024", head)
    assert re.search(r"Journal start:\s+0", head)
    assert "needs_recovery" not in head


@needs_e2fsprogs
def test_a_root_of_its_own_and_a_file_over_many_groups(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"start")
    os.truncate(tmp_path / "source", 700 * MIB)  # six extents: more than an inode holds
    root = Item(path=".", kind=NodeKind.FOLDER, mode=0o1777, uid=5)
    large = Item(path="large", kind=NodeKind.FILE, mode=0o644, source=tmp_path / "source")

    image = make(tmp_path / "image", GIB, root, large)

    check(image)
    assert image.stat().st_blocks * 512 < 4 * MIB
    assert re.search(r"Mode:\s+01777", debugfs(image, "stat /"))
    with FileDevice(image) as device:
        volume = Volume(Ext4(device))
        node = volume.find("/large")
        assert node
        assert node.size == 700 * MIB
        assert next(iter(volume.system.chunks(node))).startswith(b"start\0")


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (make(tmp_path / name, 8 * MIB, *TCE).read_bytes() for name in ("one", "two"))

    assert one == two


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([TCE[1]], "in a folder that is not listed before it"),
        ([TCE[0], TCE[0]], "twice"),
        ([Item(path="lost+found", kind=NodeKind.FOLDER, mode=0)], "twice"),
        ([Item(path="a", kind=NodeKind.FILE, mode=0), Item(path="a/b", kind=NodeKind.FILE, mode=0)], "not listed"),
        ([Item(path="../a", kind=NodeKind.FILE, mode=0)], "no path"),
        ([Item(path="/a", kind=NodeKind.FILE, mode=0)], "no path"),
        ([Item(path="a" * 256, kind=NodeKind.FILE, mode=0)], "no path"),
        ([Item(path="a", kind=NodeKind.LINK, mode=0)], "link to nothing"),
        ([Item(path="a", kind=NodeKind.OTHER, mode=0)], "neither a file"),
        ([Item(path=".", kind=NodeKind.FILE, mode=0)], "the root is a folder"),
        ([Item(path="a", kind=NodeKind.FILE, mode=0, data=bytes(8 * MIB))], "do not fit"),
        ([Item(path="a", kind=NodeKind.FILE, mode=0, data=bytes(3940 * 1024))], "do not fit"),
    ],
)  # fmt: skip
def test_what_cannot_be_in_an_image_is_refused_and_leaves_nothing(
    items: list[Item], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=words):
        make(tmp_path / "image", 8 * MIB, *items)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 8 * MIB - 1, 1 << 44])
def test_a_size_no_image_can_have_is_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="8 MiB to 16 TiB"):
        make(tmp_path / "image", size)


def test_a_label_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="more than 16 bytes"):
        make_ext4(tmp_path / "image", 8 * MIB, label="ü" * 9, uuid=UUID)


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"mine")

    with pytest.raises(FileExistsError):
        make(tmp_path / "image", 8 * MIB)

    assert (tmp_path / "image").read_bytes() == b"mine"


def test_a_missing_source_leaves_nothing(tmp_path: Path) -> None:
    gone = Item(path="a", kind=NodeKind.FILE, mode=0, source=tmp_path / "gone")

    with pytest.raises(FileNotFoundError):
        make(tmp_path / "image", 8 * MIB, gone)

    assert list(tmp_path.iterdir()) == []
