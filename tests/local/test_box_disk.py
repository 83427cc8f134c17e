"""A machine's own disk: made once, whole, and never smaller than its box's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.fakes.recorder import quiet_op
from tests.fakes.tinybox import box_folder
from vagrantish.box.disk import BOTH, disk_format, prepare_disk
from vagrantish.box.store import BoxStore
from vagrantish.errors import BoxError, HostError, MachineError
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.model import Box

MIB = 1 << 20
needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")


def box_with(tmp_path: Path, disk: bytes | None) -> Box:
    folder = box_folder(tmp_path)
    if disk is not None:
        (folder / "root.img").write_bytes(disk)
        with (folder / "box.toml").open("a") as file:
            file.write('disk = "root.img"\nroot = "disk"\n')
    return BoxStore(VxHome(tmp_path / "home")).add(folder, op=quiet_op())


def test_without_disk_or_size_there_is_none(tmp_path: Path) -> None:
    box = box_with(tmp_path, None)

    assert prepare_disk(box, tmp_path / "disk", None) is None
    assert disk_format(box, None) is None
    assert not (tmp_path / "disk").exists()


def test_a_size_alone_gives_an_empty_disk_that_takes_no_room(tmp_path: Path) -> None:
    box = box_with(tmp_path, None)
    disk = tmp_path / "disk"

    assert prepare_disk(box, disk, 20 << 30) == disk_format(box, 20 << 30) == "raw"

    assert disk.stat().st_size == 20 << 30
    assert disk.stat().st_blocks == 0
    assert disk.stat().st_mode & 0o777 == 0o600


@needs_qemu_img
@pytest.mark.parametrize("size", [None, 8 * MIB, 64 * MIB])
def test_a_boxs_disk_is_overlaid_and_grown(tmp_path: Path, size: int | None) -> None:
    box = box_with(tmp_path, bytes(8 * MIB))
    disk = tmp_path / "disk"

    assert prepare_disk(box, disk, size) == disk_format(box, size) == "qcow2"

    subprocess.run(["qemu-img", "check", "-q", disk], check=True)
    told = subprocess.run(
        ["qemu-img", "info", "--output=json", disk], capture_output=True, check=True
    )
    assert json.loads(told.stdout)["virtual-size"] == (size or 8 * MIB)


RAW_ONLY = ("raw",)


def qcow2_of(tmp_path: Path, disk: bytes) -> bytes:
    """The same disk as a compressed image."""
    (tmp_path / "disk.raw").write_bytes(disk)
    subprocess.run(
        [
            "qemu-img",
            "convert",
            "-c",
            "-O",
            "qcow2",
            tmp_path / "disk.raw",
            tmp_path / "disk.qcow2",
        ],
        check=True,
    )
    return (tmp_path / "disk.qcow2").read_bytes()


@needs_qemu_img
@pytest.mark.parametrize("size", [None, 8 * MIB, 64 * MIB])
@pytest.mark.parametrize("packed", [False, True])
def test_without_qcow2_the_boxs_disk_is_cloned_and_grown(
    tmp_path: Path, size: int | None, packed: bool
) -> None:
    content = (b"data" * 1024).ljust(8 * MIB - 5, b"\0") + b"last!"
    box = box_with(tmp_path, qcow2_of(tmp_path, content) if packed else content)
    home, disk = VxHome(tmp_path / "home"), tmp_path / "disk"

    form = prepare_disk(box, disk, size, formats=RAW_ONLY, home=home, op=quiet_op())

    assert form == disk_format(box, size, formats=RAW_ONLY) == "raw"
    assert disk.read_bytes() == content.ljust(size or 0, b"\0")
    assert disk.stat().st_mode & 0o777 == 0o600
    assert disk.stat().st_blocks * 512 < MIB
    assert len(list(home.artifacts.glob("raw/*"))) == packed


@needs_qemu_img
def test_a_clone_smaller_than_the_boxs_disk_is_refused(tmp_path: Path) -> None:
    box = box_with(tmp_path, qcow2_of(tmp_path, bytes(4 * MIB)))
    home = VxHome(tmp_path / "home")

    with pytest.raises(BoxError, match=r"has 4MiB.* 1MiB is asked for"):
        prepare_disk(box, tmp_path / "disk", MIB, formats=RAW_ONLY, home=home, op=quiet_op())

    assert not (tmp_path / "disk").exists()


@pytest.mark.parametrize(("made_for", "wanted"), [(RAW_ONLY, BOTH), (BOTH, RAW_ONLY)])
def test_a_disk_made_for_another_hypervisor_is_refused(
    tmp_path: Path, made_for: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    box = box_with(tmp_path, bytes(MIB))
    home, disk = VxHome(tmp_path / "home"), tmp_path / "disk"
    prepare_disk(box, disk, None, formats=made_for, home=home, op=quiet_op())

    with pytest.raises(MachineError, match="hypervisor is to be given") as caught:
        prepare_disk(box, disk, None, formats=wanted, home=home, op=quiet_op())

    assert "vx destroy" in caught.value.hint


def test_an_empty_disk_stays_raw_whatever_its_guest_writes(tmp_path: Path) -> None:
    box = box_with(tmp_path, None)
    disk = tmp_path / "disk"
    prepare_disk(box, disk, 2 * MIB)
    with disk.open("r+b") as file:
        file.write(b"QFI\xfb" + bytes(100))

    assert prepare_disk(box, disk, 2 * MIB) == "raw"


def test_a_disk_that_is_there_is_left_alone(tmp_path: Path) -> None:
    box = box_with(tmp_path, bytes(MIB))
    disk = tmp_path / "disk"
    prepare_disk(box, disk, 2 * MIB)
    with disk.open("ab") as file:
        file.write(b"the guest's data")
    before = disk.read_bytes()

    assert prepare_disk(box, disk, 2 * MIB) == "qcow2"

    assert disk.read_bytes() == before


@pytest.mark.parametrize("asked", [MIB, 4 * MIB])
@pytest.mark.parametrize("own", [None, bytes(MIB)])
def test_another_size_than_it_was_made_with_is_refused(
    tmp_path: Path, own: bytes | None, asked: int
) -> None:
    box = box_with(tmp_path, own)
    prepare_disk(box, tmp_path / "disk", 2 * MIB)

    with pytest.raises(MachineError, match="made with 2MiB") as caught:
        prepare_disk(box, tmp_path / "disk", asked)

    assert "vx destroy" in caught.value.hint


def test_a_disk_smaller_than_the_boxs_is_refused(tmp_path: Path) -> None:
    box = box_with(tmp_path, bytes(4 * MIB))

    with pytest.raises(BoxError, match=r"has 4MiB.* 1MiB is asked for") as caught:
        prepare_disk(box, tmp_path / "disk", MIB)

    assert 'disk = "4MiB"' in caught.value.hint
    assert not (tmp_path / "disk").exists()


def test_a_folder_that_cannot_be_written_is_a_host_error(tmp_path: Path) -> None:
    box = box_with(tmp_path, None)

    with pytest.raises(HostError, match="cannot make the disk"):
        prepare_disk(box, tmp_path / "nowhere" / "disk", MIB)


def test_nothing_half_made_is_left_beside_the_disk(tmp_path: Path) -> None:
    box = box_with(tmp_path, bytes(MIB))
    folder = tmp_path / "machine"
    folder.mkdir()

    prepare_disk(box, folder / "disk", None)

    assert os.listdir(folder) == ["disk"]
