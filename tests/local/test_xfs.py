"""XFS images made by mkfs.xfs, and some of them changed by hand into rarer shapes."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

import pytest

from tests.fakes import bootdisks as make
from tests.fakes.bytesdevice import BytesDevice
from vagrantish.formats import xfs_super
from vagrantish.formats.device import FileDevice, ImageError
from vagrantish.formats.volume import NodeKind, Volume
from vagrantish.formats.xfs import Xfs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vagrantish.formats.xfs_inode import Inode

pytestmark = pytest.mark.skipif(
    bool(make.missing("mkfs.xfs", "xfs_db")), reason="xfsprogs is not installed"
)

BIG = random.Random(1).randbytes(1_234_567)
SPARE = bytes(40 * 4096)
LONG = "a/" * 400 + "b"
UUID = "11111111-2222-3333-4444-555555555555"
# What decides the form of a folder: in its inode, one block, blocks and an index, a tree of these.
FOLDERS = {"in-inode": 5, "one-block": 60, "leaf": 300, "node": 3000}
KINDS = {
    "v5": ("-m", f"uuid={UUID}"),
    "v5 nrext64, without the newer features": (
        "-m", f"uuid={UUID},reflink=0,bigtime=0,inobtcount=0,finobt=0", "-i", "sparse=0,nrext64=1",
    ),
    "v5, folder blocks of 8 KiB": ("-m", f"uuid={UUID}", "-b", "size=1024", "-n", "size=8192"),
    "v4": ("-m", f"crc=0,uuid={UUID}"),
    "v4 with ftype": ("-m", f"crc=0,uuid={UUID}", "-n", "ftype=1"),
}  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("xfs")
    tree: make.Tree = {
        "/big": BIG,
        "/spare": SPARE,
        "/empty": b"",
        "/short": make.Link("in-inode/entry-00001"),
        "/long": make.Link(LONG),
        "/caf\u00e9": "text",
    }
    for name, count in FOLDERS.items():
        for number in range(count):
            tree[f"/{name}/entry-{number:05d}"] = b"" if number else b"zero"
    tree["/in-inode/entry-00001"] = "found"
    return {
        kind: make.xfs(folder / f"{number}.xfs", tree, *options, label="boot")
        for number, (kind, options) in enumerate(KINDS.items())
    }


@pytest.fixture(scope="module", params=list(KINDS))
def volume(request: pytest.FixtureRequest, images: dict[str, Path]) -> Iterator[Volume]:
    with FileDevice(images[request.param]) as device:
        yield Volume(Xfs(device))


def test_label_and_uuid_are_those_it_was_made_with(volume: Volume) -> None:
    system = volume.system

    assert (system.kind, system.label, system.uuid) == ("xfs", "boot", UUID)
    assert system.warnings == ()


@pytest.mark.parametrize(("name", "count"), FOLDERS.items())
def test_folders_of_every_form_are_read_whole(volume: Volume, name: str, count: int) -> None:
    names = volume.names(f"/{name}")

    assert names == tuple(f"entry-{number:05d}" for number in range(count))
    assert volume.read(f"/{name}/entry-00000") == b"zero"
    assert volume.find(f"/{name}/entry-99999") is None


def test_files_are_read_whole(volume: Volume) -> None:
    assert volume.read("/big", most=1 << 21) == BIG
    assert volume.read("/empty") == b""
    assert volume.read("/caf\u00e9") == b"text"


def test_links_are_followed(volume: Volume) -> None:
    assert volume.read("/short") == b"found"


def test_every_entry_comes_with_what_it_is(volume: Volume) -> None:
    kinds = {name: node.kind for name, node in volume.system.children(volume.system.root())}

    assert kinds["leaf"] is NodeKind.FOLDER
    assert kinds["big"] is NodeKind.FILE
    assert kinds["long"] is NodeKind.LINK
    assert set(kinds) == {*FOLDERS, "big", "spare", "empty", "short", "long", "caf\u00e9"}


def test_a_long_link_of_v4_is_read_from_its_block(images: dict[str, Path]) -> None:
    system = Xfs(BytesDevice(images["v4"].read_bytes()))
    link = system.child(system.root(), "long")

    assert link is not None
    assert system.target(link) == LONG


def test_a_long_link_of_v5_is_read_behind_the_header_of_its_block(images: dict[str, Path]) -> None:
    image = Image(images["v5"])  # mkfs.xfs leaves the header out, which a kernel would refuse
    inode = image.inode("long")
    start = image.byte_of(inode.fork, 0)
    header = b"XSLM" + struct.pack(">II", 0, len(LONG)) + bytes(44)
    image.data[start : start + 56 + len(LONG)] = header + LONG.encode()

    link = image.system.child(image.system.root(), "long")

    assert link is not None
    assert image.system.target(link) == LONG


@pytest.mark.parametrize("kind", ["v4", "v5", "v5 nrext64, without the newer features"])
@pytest.mark.parametrize("levels", [1, 2])
def test_extents_in_a_tree_with_holes_and_unwritten_ones(
    images: dict[str, Path], kind: str, levels: int
) -> None:
    image = Image(images[kind])
    wanted = image.scatter("big", levels)

    assert image.read("big") == wanted


def test_an_extent_tree_that_leads_round_in_circles_is_refused(images: dict[str, Path]) -> None:
    image = Image(images["v4"])
    image.scatter("big", 2)
    spare = image.start_of("spare")
    # Its first leaf and its second are the same block.
    pointers = spare + 24 + (4096 - 24) // 16 * 8
    image.data[pointers + 8 : pointers + 16] = image.data[pointers : pointers + 8]

    with pytest.raises(ImageError, match=r"circles|contradict"):
        image.read("big")


def test_a_log_that_was_not_replayed_is_warned_of(images: dict[str, Path]) -> None:
    image = Image(images["v5"])
    log = image.super.byte_of(image.super.log_start)
    assert image.data[log + 512 + 9] == 0x20  # the record that says it was unmounted
    image.data[log + 512 + 9] = 0

    assert "not replayed" in " ".join(image.system.warnings)


@pytest.mark.parametrize(
    ("bit", "name"), [(4, "needsrepair"), (9, "zoned"), (20, "bit 20"), (31, "bit 31")]
)
def test_features_vx_cannot_read_are_refused_by_name(
    images: dict[str, Path], bit: int, name: str
) -> None:
    image = Image(images["v5"])
    image.data[216:220] = struct.pack(">I", 0b11 | 1 << bit)

    with pytest.raises(ImageError, match=name):
        _ = image.system


def test_features_that_change_nothing_for_a_reader_are_taken(images: dict[str, Path]) -> None:
    image = Image(images["v5"])
    image.data[216:220] = struct.pack(">I", 0b111101111)

    assert image.read("big") == BIG


def test_a_file_system_longer_than_its_partition_is_refused(images: dict[str, Path]) -> None:
    data = images["v5"].read_bytes()

    with pytest.raises(ImageError, match="cut short"):
        Xfs(BytesDevice(data[: len(data) // 2]))


def test_an_inode_that_says_it_is_another_one_is_refused(images: dict[str, Path]) -> None:
    image = Image(images["v5"])
    at = image.super.byte_of_inode(image.inode("big").number)
    image.data[at + 152 : at + 160] = struct.pack(">Q", 99)

    with pytest.raises(ImageError, match="another one"):
        image.read("big")


class Image:
    """An image in memory that can be changed."""

    def __init__(self, path: Path) -> None:
        self.data = bytearray(path.read_bytes())
        self.super = xfs_super.parse(bytes(self.data[:512]), len(self.data))

    @property
    def system(self) -> Xfs:
        return Xfs(BytesDevice(bytes(self.data)))

    def read(self, name: str) -> bytes:
        return Volume(self.system).read(f"/{name}", most=1 << 22)

    def inode(self, name: str) -> Inode:
        node = Volume(self.system).system.child(self.system.root(), name)
        assert node is not None
        inode: Inode = node.handle
        return inode

    def byte_of(self, fork: bytes, extent: int) -> int:
        return self.super.byte_of(self.block_of(fork, extent))

    def block_of(self, fork: bytes, extent: int) -> int:
        high, low = struct.unpack_from(">QQ", fork, extent * 16)
        return int((high & 0x1FF) << 43 | low >> 21)

    def start_of(self, name: str) -> int:
        return self.byte_of(self.inode(name).fork, 0)

    def scatter(self, name: str, levels: int) -> bytes:
        """Turn a file's one extent into a tree of one-block extents; its new content.

        Even blocks come from the end backwards; of the odd ones some are holes, some unwritten.
        """
        inode = self.inode(name)
        first, count = self.block_of(inode.fork, 0), -(-inode.size // 4096)
        old = bytes(self.data[self.super.byte_of(first) :][: count * 4096])
        records, content = [], b""
        for block in range(count):
            if block % 2 == 0:
                source = count - 1 - block
                content += old[source * 4096 :][:4096]
                records.append(_record(block, first + source, unwritten=False))
            else:
                content += bytes(4096)
                if block % 3 == 0:
                    records.append(_record(block, first + block, unwritten=True))
        root = self._tree(records, levels)
        self._rewrite(inode, root, levels, len(records))
        return content[: inode.size]

    def _tree(self, records: Sequence[bytes], levels: int) -> list[tuple[int, int]]:
        """(first file block, block number) of what the root points to."""
        spare = self.block_of(self.inode("spare").fork, 0)
        blocks = iter(range(spare, spare + 40))
        top = next(blocks) if levels == 2 else None
        leaves = []
        for start in range(0, len(records), 50):
            part = records[start : start + 50]
            number = next(blocks)
            self._write_block(number, 0, len(part), b"".join(part))
            leaves.append((struct.unpack(">Q", part[0][:8])[0] >> 9 & (1 << 54) - 1, number))
        if top is None:
            return leaves
        header = 72 if self.super.version == 5 else 24
        keys = b"".join(struct.pack(">Q", key) for key, _ in leaves)
        body = keys.ljust((4096 - header) // 16 * 8, b"\0")
        body += b"".join(struct.pack(">Q", number) for _, number in leaves)
        self._write_block(top, 1, len(leaves), body)
        return [(0, top)]

    def _write_block(self, number: int, level: int, count: int, body: bytes) -> None:
        magic, header = (b"BMA3", 72) if self.super.version == 5 else (b"BMAP", 24)
        block = (magic + struct.pack(">HH", level, count)).ljust(header, b"\xff") + body
        at = self.super.byte_of(number)
        self.data[at : at + 4096] = block.ljust(4096, b"\0")

    def _rewrite(
        self, inode: Inode, root: Sequence[tuple[int, int]], levels: int, count: int
    ) -> None:
        at = self.super.byte_of_inode(inode.number)
        core = 176 if self.super.version == 5 else 100
        keys = b"".join(struct.pack(">Q", key) for key, _ in root)
        fork = struct.pack(">HH", levels, len(root)) + keys
        fork = fork.ljust(4 + (len(inode.fork) - 4) // 16 * 8, b"\0")
        fork += b"".join(struct.pack(">Q", number) for _, number in root)
        self.data[at + core : at + core + len(fork)] = fork
        self.data[at + 5] = 3
        wide = self.super.version == 5 and self.data[at + 127] & 16
        if wide:
            self.data[at + 24 : at + 32] = struct.pack(">Q", count)
        else:
            self.data[at + 76 : at + 80] = struct.pack(">I", count)


def _record(offset: int, start: int, *, unwritten: bool) -> bytes:
    return struct.pack(
        ">QQ", int(unwritten) << 63 | offset << 9 | start >> 43, (start & (1 << 43) - 1) << 21 | 1
    )
