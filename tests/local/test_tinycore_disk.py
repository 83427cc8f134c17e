"""The disk a Tiny Core machine gets."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from vagrantish.errors import MachineError
from vagrantish.seed.tinycore_disk import make_disk

if TYPE_CHECKING:
    from pathlib import Path

UUID = "0d4fa1b5-3ef1-4b4c-9a49-6f0f0f0f0f0f"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    make_disk(path, 64 << 20, uuid=UUID)
    return path


@pytest.mark.skipif(shutil.which("debugfs") is None, reason="needs debugfs")
def test_it_belongs_to_whom_tiny_core_expects_and_backs_up_neither_home_nor_opt(disk: Path) -> None:
    asked = "show_super_stats -h\nstat tce/optional\nstat opt\ncat opt/.filetool.lst\n"

    told = subprocess.run(
        ["debugfs", "-f", "-", disk], input=asked, capture_output=True, text=True, check=True
    ).stdout

    assert re.search(r"volume name: +vx-data", told)
    modes = re.findall(r"Mode: +(\d+)", told)
    owners = re.findall(r"User: +(\d+) +Group: +(\d+)", told)
    assert list(zip(modes, owners, strict=True)) == [
        ("0775", ("1001", "50")),
        ("02775", ("0", "50")),
    ]
    assert "\nroot\n" in told


def test_a_disk_that_is_there_is_left_alone(disk: Path) -> None:
    disk.write_bytes(b"mine")

    make_disk(disk, 64 << 20, uuid=UUID)

    assert disk.read_bytes() == b"mine"


def test_it_is_the_owners_alone_and_takes_little_space(disk: Path) -> None:
    found = disk.stat()

    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_size == 64 << 20
    assert found.st_blocks * 512 < 8 << 20


def test_a_size_that_is_too_small_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="a disk of 64KiB cannot be made for Tiny Core: "):
        make_disk(tmp_path / "disk.img", 64 << 10, uuid=UUID)

    assert list(tmp_path.iterdir()) == []
