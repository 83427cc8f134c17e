"""Damaged ext file systems and journals: what is right, or ImageError, soon and in bounds."""

from __future__ import annotations

import random
import struct
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.e2fs import needs_e2fsprogs
from tests.fuzz.budget import rounds
from tests.fuzz.damage import Damaged, look_around
from vagrantish.formats.ext4 import Ext4

pytestmark = needs_e2fsprogs

# (options of mke2fs, how its journal is opened; "" leaves it clean)
SHAPES = (
    ("-t ext4 -b 1024 -O inline_data,^has_journal,^resize_inode -I 256 -N 96 SIZE 500k", ""),
    ("-t ext2 -b 1024 -O ^resize_inode -N 96 SIZE 500k", ""),
    ("-t ext4 -b 4096 -O 64bit,metadata_csum,^has_journal SIZE 1M", ""),
    ("-t ext4 -b 1024 -O 64bit,^metadata_csum -J size=1 SIZE 4M", "jo"),
    ("-t ext4 -b 1024 -O 64bit,metadata_csum -J size=1 SIZE 4M", "jo -c -v 3"),
)
READ_MAX = 600 << 20  # 200 files of at most 4 MiB are looked at
WORDS = st.integers(0, (1 << 32) - 1) | st.sampled_from(
    [0, 1, 2, 4, 5, 8, 12, 0xF30A, 0x8000, 0xFFFF, 0xF30A0001, 0x7FFFFFFF, 0x80000, 0x10000000]
)


@cache
def image(shape: int) -> tuple[bytes, tuple[int, ...]]:
    """An image, and the places of it that are not zeros and not a file's bytes."""
    options, journal = SHAPES[shape]
    words, _, size = options.partition(" SIZE ")
    with TemporaryDirectory() as folder:
        tree, path = Path(folder) / "tree", Path(folder) / "image"
        (tree / "boot/sub").mkdir(parents=True)
        for number in range(40):
            (tree / f"boot/file-{number}").write_bytes(b"\xaa" * number * 50)
        with (tree / "scattered").open("wb") as file:
            for number in range(12):
                file.seek(number * 9000)
                file.write(b"\xaa" * 1000)
        (tree / "short").symlink_to("boot/file-1")
        (tree / "long").symlink_to("x/" * 100)
        run(["mkfs.ext4", "-q", "-F", *words.split(), "-d", str(tree), str(path), size])
        if journal:
            (Path(folder) / "data").write_bytes(path.read_bytes()[40 << 10 : 43 << 10])
            writes = f"jw -b 40,41,42 {folder}/data\njw -r 41\njw -b 41 {folder}/data\n"
            run(["debugfs", "-w", "-f", "-", str(path)], f"{journal}\n{writes}jc\n")
        data = path.read_bytes()
    places = (
        at for at in range(0, len(data), 4) if data[at : at + 4] not in (bytes(4), b"\xaa" * 4)
    )
    return data, tuple(places)


def run(words: list[str], text: str = "") -> None:
    subprocess.run(words, input=text.encode(), check=True, capture_output=True)


@st.composite
def damaged(draw: st.DrawFn) -> Damaged:
    """A few words of what holds the file system together are others."""
    data, places = image(draw(st.integers(0, len(SHAPES) - 1)))
    pick = random.Random(
        draw(st.integers(0, 1 << 32))
    )  # spread over the image, where draws cluster
    changes = {}
    for word in draw(st.lists(WORDS, max_size=6)):
        at = pick.choice(places) + pick.choice((0, 0, 0, -4, 4))
        changes[max(at, 0)] = struct.pack("<I" if pick.random() < 0.7 else ">I", word)
    for bit in draw(st.lists(st.integers(0, 7), max_size=4)):
        at = pick.choice(places) + pick.randrange(4)
        changes[at] = bytes([data[at] ^ 1 << bit])
    size = draw(st.none() | st.integers(0, len(data)))
    return Damaged(data, changes, size)


@given(damaged())
@settings(max_examples=rounds(150), deadline=None, suppress_health_check=list(HealthCheck))
def test_damage_anywhere_ends_in_bounds(device: Damaged) -> None:
    look_around(Ext4, device, read_max=READ_MAX)


@given(
    st.integers(0, len(SHAPES) - 1),
    st.dictionaries(st.integers(0, 255), WORDS, min_size=1, max_size=5),
)
@settings(max_examples=rounds(100), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_superblock_ends_in_bounds(shape: int, words: dict[int, int]) -> None:
    data, _ = image(shape)
    changes = {1024 + at * 4: struct.pack("<I", word) for at, word in words.items()}

    look_around(Ext4, Damaged(data, changes), read_max=READ_MAX)


@given(st.data())
@settings(max_examples=rounds(100), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_journal_ends_in_bounds(draw: st.DataObject) -> None:
    data, _ = image(draw.draw(st.sampled_from([3, 4])))
    start = data.index(b"\xc0\x3b\x39\x98\0\0\0\4")
    places = st.integers(0, 24) | st.integers(256, 290) | st.integers(1280, 1300)
    words = draw.draw(st.dictionaries(places, WORDS, min_size=1, max_size=5))
    changes = {start + at * 4: struct.pack(">I", word) for at, word in words.items()}

    look_around(Ext4, Damaged(data, changes), read_max=READ_MAX)
