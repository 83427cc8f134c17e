"""ISO images made by xorriso and genisoimage, with each of the three kinds of names."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

import pytest

from tests.fakes import bootdisks as make
from tests.fakes.bytesdevice import BytesDevice
from vagrantish.formats.device import FileDevice, ImageError
from vagrantish.formats.iso9660 import Iso9660
from vagrantish.formats.volume import NodeKind, Volume

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    bool(make.missing("xorriso", "genisoimage")), reason="xorriso or genisoimage is not installed"
)

KERNEL = random.Random(2).randbytes(700_001)
GENISOIMAGE = ("genisoimage", "-input-charset", "utf-8")
DEEP = "/a/b/c/d/e/f/g/h/i/deep.txt"
LONG_TARGET = "very-long-component-name/" * 30 + "end"
LONG_NAME = "n" * 230
TREE: make.Tree = {
    "/boot/vmlinuz64": KERNEL,
    "/boot/isolinux/isolinux.cfg": "DEFAULT vx\n",
    "/A Name With Spaces, \u00e9.text": "spaces",
    f"/{LONG_NAME}": "long",
    "/empty": b"",
    DEEP: "deep",
    "/link": make.Link("boot/vmlinuz64"),
    "/up": make.Link("/boot/../boot/isolinux"),
    "/far": make.Link(LONG_TARGET),
    **{f"/many/some-file-{number}.txt": str(number) for number in range(300)},
}
PLAIN: make.Tree = {
    "/boot/vmlinuz64": KERNEL,
    "/boot/isolinux/isolinux.cfg": "DEFAULT vx\n",
    "/boot/noext": "no extension",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iso")
    make.folder_of(TREE, folder / "tree")
    make.folder_of(PLAIN, folder / "plain")
    return folder


def built(folder: Path, name: str, *argv: str, tree: str = "tree") -> Volume:
    image = folder / f"{name}.iso"
    if not image.exists():
        make.run(*argv, "-quiet", "-V", "TESTISO", "-o", image, folder / tree)
    return Volume(Iso9660(BytesDevice(image.read_bytes())))


def all_of(volume: Volume) -> make.Tree:
    found: make.Tree = {}
    waiting = [("", volume.system.root())]
    while waiting:
        path, folder = waiting.pop()
        for name, node in volume.system.children(folder):
            if node.kind is NodeKind.FOLDER:
                waiting.append((f"{path}/{name}", node))
            elif node.kind is NodeKind.LINK:
                found[f"{path}/{name}"] = make.Link(volume.link_target(node))
            else:
                found[f"{path}/{name}"] = b"".join(volume.system.chunks(node))
    return found


def as_bytes(tree: make.Tree) -> make.Tree:
    return {path: text.encode() if isinstance(text, str) else text for path, text in tree.items()}


@pytest.mark.parametrize("program", [("xorriso", "-as", "mkisofs"), GENISOIMAGE])
def test_rock_ridge_gives_every_name_link_and_byte(folder: Path, program: tuple[str, ...]) -> None:
    tree = as_bytes(TREE)
    without: tuple[str, ...] = ()
    if program is GENISOIMAGE:  # long targets make it hang
        without = ("-m", "far")
        del tree["/far"]

    volume = built(folder, program[0], *program, "-R", "-J", "-joliet-long", *without)

    assert all_of(volume) == tree
    assert volume.read("/link", most=1 << 20) == KERNEL
    assert volume.read("/up/isolinux.cfg") == b"DEFAULT vx\n"
    assert volume.find("/BOOT") is None


def test_label_and_identifier_are_those_that_blkid_shows(folder: Path) -> None:
    if missing := make.missing("blkid"):
        pytest.skip(f"{missing} is not installed")
    system = built(folder, "xorriso", "xorriso", "-as", "mkisofs", "-R", "-J").system

    shown = make.run("blkid", "-p", "-o", "export", folder / "xorriso.iso").splitlines()

    assert {f"LABEL={system.label}", f"UUID={system.uuid}"} <= set(shown)


def test_joliet_names_count_where_there_is_no_rock_ridge(folder: Path) -> None:
    volume = built(folder, "joliet", *GENISOIMAGE, "-J", "-joliet-long", "-D")

    assert volume.read("/A Name With Spaces, \u00e9.text") == b"spaces"
    assert volume.read("/boot/vmlinuz64", most=1 << 20) == KERNEL
    assert len(volume.names("/many")) == 300


def test_plain_names_are_found_in_any_case_and_without_their_version(folder: Path) -> None:
    volume = built(folder, "plain", *GENISOIMAGE, "-iso-level", "2", tree="plain")

    assert volume.names("/boot") == ("isolinux", "noext", "vmlinuz64")
    assert volume.read("/boot/VMLINUZ64", most=1 << 20) == KERNEL
    assert volume.read("/Boot/noext") == b"no extension"


def test_a_file_in_several_extents_is_one_file(folder: Path) -> None:
    image = bytearray((built_file(folder)).read_bytes())
    # The record of the kernel is split in two: as large files are, at 4 GiB.
    at = image.index(b"VMLINUZ64") - 33
    length = image[at]
    record = bytes(image[at : at + length])
    start, size = struct.unpack_from("<I4xI", record, 2)
    first = bytearray(record)
    struct.pack_into("<I", first, 10, 2048)
    first[25] |= 0x80
    second = bytearray(record)
    struct.pack_into("<I", second, 2, start + 1)
    struct.pack_into("<I", second, 10, size - 2048)
    image[at : at + 2 * length] = bytes(first + second)

    volume = Volume(Iso9660(BytesDevice(bytes(image))))

    assert volume.read("/boot/vmlinuz64", most=1 << 20) == KERNEL


def built_file(folder: Path) -> Path:
    built(folder, "plain", *GENISOIMAGE, "-iso-level", "2", tree="plain")
    return folder / "plain.iso"


def test_an_image_cut_short_is_warned_of_and_gives_no_half_file(folder: Path) -> None:
    data = built_file(folder).read_bytes()
    volume = Volume(Iso9660(BytesDevice(data[: len(data) // 2])))

    assert "cut short" in volume.system.warnings[0]
    with pytest.raises(ImageError):
        volume.read("/boot/vmlinuz64", most=1 << 20)


def test_fields_that_continue_in_themselves_are_refused(folder: Path) -> None:
    built(folder, "xorriso", "xorriso", "-as", "mkisofs", "-R", "-J", "-joliet-long")
    image = bytearray((folder / "xorriso.iso").read_bytes())
    # The last field in a record that goes on elsewhere; there, another that leads to itself.
    at = image.rindex(b"CE\x1c\x01", 0, image.index(b"boot", 18 * 2048) + 8192)
    block, offset, _ = struct.unpack_from("<I4xI4xI4x", image, at + 4)
    numbers = (struct.pack("<I", value) + struct.pack(">I", value) for value in (block, offset, 28))
    image[block * 2048 + offset : block * 2048 + offset + 28] = b"CE\x1c\x01" + b"".join(numbers)

    with pytest.raises(ImageError, match="go on and on"):
        all_of(Volume(Iso9660(BytesDevice(bytes(image)))))


def test_what_is_no_iso_is_told(tmp_path: Path) -> None:
    target = tmp_path / "zeros"
    target.write_bytes(bytes(1 << 16))

    with FileDevice(target) as device, pytest.raises(ImageError, match="not an ISO 9660 image"):
        Iso9660(device)
