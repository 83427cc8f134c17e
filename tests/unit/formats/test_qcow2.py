"""qcow2 headers read, and the overlays we write judged by qemu-img."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from vagrantish.formats import qcow2

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30
needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")


def qemu_img(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["qemu-img", *map(str, arguments)], capture_output=True, check=True, text=True
    )
    return done.stdout


@needs_qemu_img
@pytest.mark.parametrize("size", [512, 1 << 20, 20 * GIB, 3 << 40])
@pytest.mark.parametrize("backing_format", ["raw", "qcow2"])
def test_qemu_img_finds_nothing_wrong_with_an_overlay(
    size: int, backing_format: str, tmp_path: Path
) -> None:
    base = tmp_path / "bäse"
    qemu_img("create", "-q", "-f", backing_format, base, "512")
    overlay = tmp_path / "overlay"

    qcow2.create_overlay(overlay, base, backing_format=backing_format, virtual_size_bytes=size)

    qemu_img("check", overlay)
    info = json.loads(qemu_img("info", "--output=json", overlay))
    assert info["virtual-size"] == size
    assert info["backing-filename"] == str(base)
    assert info["backing-filename-format"] == backing_format
    assert overlay.stat().st_size < 1 << 21
    assert qcow2.virtual_size(overlay) == size


@needs_qemu_img
def test_an_overlay_reads_as_its_backing_file_and_keeps_writes_to_itself(tmp_path: Path) -> None:
    if shutil.which("qemu-io") is None:
        pytest.skip("needs qemu-io")
    base = tmp_path / "base"
    base.write_bytes(b"\x11" * 65536)
    overlay = tmp_path / "overlay"
    qcow2.create_overlay(overlay, base, backing_format="raw", virtual_size_bytes=GIB)

    done = subprocess.run(
        ["qemu-io", "-f", "qcow2", overlay,
         "-c", "read -P 0x11 0 64k", "-c", "read -P 0 64k 64k",
         "-c", "write -P 0x22 512M 64k", "-c", "write -P 0x22 0 512",
         "-c", "read -P 0x22 512M 64k", "-c", "read -P 0x11 512 512"],
        capture_output=True, text=True,
    )  # fmt: skip

    assert "failed" not in done.stdout + done.stderr
    assert base.read_bytes() == b"\x11" * 65536
    qemu_img("check", overlay)


def test_an_overlay_never_replaces_a_file(tmp_path: Path) -> None:
    target = tmp_path / "disk"
    target.write_bytes(b"precious")

    with pytest.raises(FileExistsError):
        qcow2.create_overlay(target, tmp_path, backing_format="raw", virtual_size_bytes=512)

    assert target.read_bytes() == b"precious"


def test_a_path_longer_than_the_format_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(qcow2.Qcow2Error, match="longer"):
        qcow2.create_overlay(
            tmp_path / "disk",
            tmp_path / ("x" * 1100),
            backing_format="raw",
            virtual_size_bytes=512,
        )

    assert list(tmp_path.iterdir()) == []


def header(**changes: int) -> bytes:
    """A version 3 header of a 1 GiB image that stands by itself."""
    fields = {
        "version": 3, "backing": 0, "name_length": 0, "cluster_bits": 16, "size": GIB, "crypt": 0,
        "l1_size": 2, "l1_offset": 3 << 16, "features": 0,
    } | changes  # fmt: skip
    *first, features = fields.values()
    packed = qcow2.MAGIC + struct.pack(">IQIIQIIQ", *first)
    return packed.ljust(72, b"\0") + struct.pack(">Q", features) + bytes(32)


def test_a_header_that_stands_by_itself_is_accepted() -> None:
    assert qcow2.check_standalone(header(), 4 << 16).virtual_bytes == GIB


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"raw", "not a qcow2"),
        (header()[:80], "cut short"),
        (header(version=4), "version 4"),
        (header(cluster_bits=40), r"2\^40"),
        (header(cluster_bits=0), r"2\^0"),
        (header(size=0), "promises 0 bytes"),
        (header(size=1 << 63), "promises"),
        (header(size=3 * GIB), "tables do not hold"),
        (header(backing=200, name_length=9), "backing file"),
        (header(name_length=9), "backing file"),
        (header(crypt=1), "encrypted"),
        (header(crypt=2), "encrypted"),
        (header(features=4), "another file"),
        (header(features=2), "corrupt"),
        (header(features=1 << 9), "does not know"),
        (header(l1_offset=4 << 16), "cut short"),
    ],
)
def test_an_image_that_needs_more_than_itself_is_refused(head: bytes, why: str) -> None:
    with pytest.raises(qcow2.Qcow2Error, match=why):
        qcow2.check_standalone(head, 4 << 16)


@needs_qemu_img
@pytest.mark.parametrize("compat", ["0.10", "1.1"])
def test_what_qemu_img_makes_is_accepted(compat: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"compat={compat}", image, "20G")

    data = image.read_bytes()

    assert qcow2.check_standalone(data[:4096], len(data)).virtual_bytes == 20 * GIB
