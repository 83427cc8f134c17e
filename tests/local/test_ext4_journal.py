"""A journal that was not written back, read as e2fsck would have left the file system."""

from __future__ import annotations

import random
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.fakes.e2fs import debugfs, mkfs, needs_e2fsprogs
from tests.fakes.walked import walked
from vagrantish.formats.device import FileDevice
from vagrantish.formats.ext4 import Ext4

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = needs_e2fsprogs

MAGIC = b"\xc0\x3b\x39\x98"
# How the journal is opened, and the features of the file system.
FORMATS = {
    "plain": ("jo", "-O^64bit,^metadata_csum"),
    "wide": ("jo", "-O64bit,^metadata_csum"),
    "checksums 2": ("jo -c -v 2", "-O^64bit,metadata_csum"),
    "wide, checksums 2": ("jo -c -v 2", "-O64bit,metadata_csum"),
    "checksums 3": ("jo -c -v 3", "-O^64bit,metadata_csum"),
    "wide, checksums 3": ("jo -c -v 3", "-O64bit,metadata_csum"),
}
UBUNTU = FORMATS["wide, checksums 3"]


class Images:
    """A file system before and after some changes, which can be put into its journal."""

    def __init__(self, folder: Path, features: str, *options: str, block: int = 1024) -> None:
        self.folder = folder
        self.block = block
        self.before, self.after, self.image = (
            folder / name for name in ("before", "after", "image")
        )
        (folder / "tree/boot").mkdir(parents=True)
        for number in range(40):
            (folder / f"tree/boot/file{number}").write_bytes(b"%d" % number * 900)
        mkfs(self.before, folder / "tree", "8M", f"-b{block}", features, *options)
        (folder / "new").write_bytes(MAGIC + random.Random(3).randbytes(9000))
        shutil.copy(self.before, self.after)
        shutil.copy(self.before, self.image)

    def change(self, *commands: str) -> None:
        debugfs(self.after, *commands)

    def journaled(self, blocks: Iterable[int], name: str = "blocks") -> str:
        """A file with what these blocks shall become, as arguments of ``jw``."""
        data = self.after.read_bytes()
        numbers = list(blocks)
        (self.folder / name).write_bytes(
            b"".join(data[n * self.block : (n + 1) * self.block] for n in numbers)
        )
        return f"-b {','.join(map(str, numbers))} {self.folder}/{name}"

    def changed(self) -> list[int]:
        before, after, size = self.before.read_bytes(), self.after.read_bytes(), self.block
        return [
            number
            for number in range(len(before) // size)
            if before[number * size : (number + 1) * size]
            != after[number * size : (number + 1) * size]
        ]  # fmt: skip

    def recovered(self) -> Path:
        """By e2fsck."""
        path = self.folder / "recovered"
        shutil.copy(self.image, path)
        done = subprocess.run(["e2fsck", "-fy", str(path)], capture_output=True, text=True)
        assert "recovering journal" in done.stdout, done.stdout
        return path


def contents(image: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    with FileDevice(image) as device:
        system = Ext4(device)
        return walked(system), system.warnings


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("block", [1024, 4096])
def test_changes_in_the_journal_are_seen(format_: str, block: int, tmp_path: Path) -> None:
    open_journal, features = FORMATS[format_]
    images = Images(tmp_path, features, block=block)
    images.change(f"write {tmp_path}/new boot/new", "rm boot/file7", "mkdir etc")
    debugfs(images.image, open_journal, f"jw {images.journaled(images.changed())}", "jc")

    seen, warnings = contents(images.image)

    assert seen == contents(images.after)[0] == contents(images.recovered())[0]
    assert seen != contents(images.before)[0]
    assert warnings == ()


def block_of(image: Path, path: str) -> int:
    done = subprocess.run(
        ["debugfs", "-R", f"blocks {path}", str(image)], capture_output=True, text=True
    )
    return int(done.stdout.split()[0])


@pytest.fixture(params=FORMATS)
def scribbled(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Images, str, str]:
    """A file system, how its journal is opened, and a write of junk into its file0."""
    open_journal, features = FORMATS[request.param]
    images = Images(tmp_path, features)
    (tmp_path / "junk").write_bytes(b"\xee" * 1024)
    return images, open_journal, f"-b {block_of(images.image, 'boot/file0')} {tmp_path}/junk"


def test_what_was_revoked_later_is_not_seen(scribbled: tuple[Images, str, str]) -> None:
    images, open_journal, junk = scribbled
    number = junk.split()[1]
    debugfs(images.image, open_journal, f"jw {junk}", f"jw -r {number}", "jc")

    assert contents(images.image) == contents(images.before)
    assert contents(images.image)[0] == contents(images.recovered())[0]


def test_what_was_written_again_after_that_is_seen(scribbled: tuple[Images, str, str]) -> None:
    images, open_journal, junk = scribbled
    number = junk.split()[1]
    debugfs(images.image, open_journal, f"jw {junk}", f"jw -r {number}", f"jw {junk}", "jc")

    assert contents(images.image)[0] != contents(images.before)[0]
    assert contents(images.image)[0] == contents(images.recovered())[0]


def test_what_was_not_committed_is_not_seen(scribbled: tuple[Images, str, str]) -> None:
    images, open_journal, junk = scribbled
    images.change("rm boot/file7")
    rest = images.journaled(images.changed())
    debugfs(images.image, open_journal, f"jw {rest}", f"jw -c {junk}", "jc")

    assert contents(images.image) == contents(images.after)
    assert contents(images.image)[0] == contents(images.recovered())[0]


@pytest.mark.parametrize("what", ["descriptor", "data", "commit"])
def test_a_change_with_a_wrong_checksum_and_all_after_it_are_left_out(
    what: str, tmp_path: Path
) -> None:
    images = Images(tmp_path, UBUNTU[1])
    images.change("rm boot/file7")
    good = images.journaled(images.changed())
    (tmp_path / "junk").write_bytes(b"\xee" * 1024)
    bad = f"-b {block_of(images.image, 'boot/file0')} {tmp_path}/junk"
    debugfs(images.image, UBUNTU[0], f"jw {good}", f"jw {bad}", f"jw {bad}", "jc")
    data = bytearray(images.image.read_bytes())
    at = {
        "descriptor": data.index(MAGIC + b"\0\0\0\1\0\0\0\2") + 40,
        "data": data.index(b"\xee" * 1024) + 500,
        "commit": data.index(MAGIC + b"\0\0\0\2\0\0\0\2") + 55,
    }[what]
    data[at] ^= 1
    images.image.write_bytes(data)

    seen, warnings = contents(images.image)

    assert seen == contents(images.after)[0]
    assert warnings == ("the last changes in its journal are damaged and were left out",)


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (0, b"\0", "it has no superblock"),
        (12, b"\x11", "its blocks have"),
        (0x18 + 3, b"\xff", "checksum of its superblock"),
        (0x28, b"\x40", "features 0x40000000"),
    ],
)
def test_a_journal_that_cannot_be_read_is_told(
    at: int, value: bytes, words: str, tmp_path: Path
) -> None:
    images = Images(tmp_path, UBUNTU[1])
    images.change("rm boot/file7")
    debugfs(images.image, UBUNTU[0], f"jw {images.journaled(images.changed())}", "jc")
    data = bytearray(images.image.read_bytes())
    start = data.index(MAGIC + b"\0\0\0\4")
    data[start + at : start + at + 1] = value
    images.image.write_bytes(data)

    seen, (warning,) = contents(images.image)

    assert seen == contents(images.before)[0]
    assert warning.startswith("its journal was not replayed")
    assert words in warning
