"""cpio archives: what we write others read, and what others write we judge."""

from __future__ import annotations

import io
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vagrantish.formats import cpio

if TYPE_CHECKING:
    from pathlib import Path

ENTRIES = (
    cpio.directory("etc", mode=0o700),
    cpio.file("etc/secret", b"odd", mode=0o4755, uid=1000, gid=50),
    cpio.symlink("etc/link", "secret"),
    cpio.char_device("dev/console", 5, 1),
)


def test_members_come_back_with_modes_owners_and_device_numbers() -> None:
    archive = cpio.archive(ENTRIES)

    walked = list(cpio.walk(io.BytesIO(archive)))

    assert [(e.name, e.mode, e.uid, e.gid, e.rdev) for e in walked] == [
        (e.name, e.mode, e.uid, e.gid, e.rdev) for e in ENTRIES
    ]


@pytest.mark.skipif(shutil.which("cpio") is None, reason="needs the program cpio")
def test_the_cpio_program_lists_what_was_written(tmp_path: Path) -> None:
    archive = cpio.archive(cpio.with_parents(ENTRIES))

    listed = subprocess.run(["cpio", "-itvn"], input=archive, capture_output=True, check=True)

    lines = listed.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == [
        "drwx------", "-rwsr-xr-x", "lrwxrwxrwx", "drwxr-xr-x", "crw-------",
    ]  # fmt: skip
    assert lines[1].split()[2:5] == ["1000", "50", "3"]
    assert lines[2].endswith("etc/link -> secret")
    assert "5,   1" in lines[4]


def test_the_same_entries_give_the_same_bytes_padded_to_four() -> None:
    assert cpio.archive(ENTRIES) == cpio.archive(ENTRIES)
    assert len(cpio.archive(ENTRIES)) % 4 == 0


def test_every_member_has_an_inode_of_its_own() -> None:
    archive = cpio.archive(ENTRIES)

    inodes = [archive[at + 6 : at + 14] for at in _headers(archive)][:-1]

    assert len(set(inodes)) == len(ENTRIES)


def test_missing_parents_are_put_before_their_first_use() -> None:
    entries = cpio.with_parents((cpio.file("a/b/c", b""), cpio.directory("a", mode=0o700)))

    assert [(entry.name, stat.S_IMODE(entry.mode)) for entry in entries] == [
        ("a", 0o700), ("a/b", 0o755), ("a/b/c", 0o644),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.text("abc/.", min_size=1, max_size=9), st.binary(max_size=9))))
def test_whatever_is_written_is_walked_to_its_end(members: list[tuple[str, bytes]]) -> None:
    stream = io.BytesIO(cpio.archive(cpio.file(name, data) for name, data in members) + b"after")

    assert [entry.name for entry in cpio.walk(stream)] == [name for name, _ in members]
    assert stream.read() == b"after"


@pytest.mark.parametrize("cut", [1, 4, 60, 109, 120, 200])
def test_a_cut_archive_is_noticed(cut: int) -> None:
    archive = cpio.archive(ENTRIES)

    with pytest.raises(cpio.CpioError, match="ends in the middle"):
        list(cpio.walk(io.BytesIO(archive[:-cut])))


def test_a_name_of_a_gigabyte_is_refused_before_it_is_read() -> None:
    header = b"070701" + b"00000000" * 11 + b"40000000" + b"00000000"

    with pytest.raises(cpio.CpioError, match="name of 1073741824 bytes"):
        list(cpio.walk(io.BytesIO(header)))


@pytest.mark.parametrize(
    "header", [b"070701" + b"zz" * 52, b"070707" + b"0" * 104, b"\0" * 110, b"-1" * 55]
)
def test_what_is_no_header_is_refused(header: bytes) -> None:
    with pytest.raises(cpio.CpioError):
        list(cpio.walk(io.BytesIO(header)))


def _headers(archive: bytes) -> list[int]:
    found, at = [], archive.find(b"070701")
    while at >= 0:
        found.append(at)
        at = archive.find(b"070701", at + 1)
    return found
