"""Links that may travel with their folder, and those that lead out of it."""

from __future__ import annotations

import io
import tarfile

import pytest

from vagrantish.formats.tree import Entry, Kind, stays_inside, tar_stream


@pytest.mark.parametrize(
    ("name", "target", "inside"),
    [
        ("a", "b", True),
        ("a", "sub/b", True),
        ("a", "./b", True),
        ("sub/a", "../b", True),
        ("sub/deep/a", "../../b", True),
        ("a", "..hidden", True),
        ("a", "../b", False),
        ("sub/a", "../../b", False),
        ("a", "/etc/passwd", False),
        ("a", "sub/../../b", False),
        ("sub/a", "x/../../..", False),
        ("a", "", False),
    ],
)
def test_a_link_stays_inside_or_leads_out(name: str, target: str, inside: bool) -> None:
    assert stays_inside(name, target) is inside


def test_the_archive_ends_with_its_own_proof_and_reads_back() -> None:
    entries = (
        Entry(name=".", kind=Kind.FOLDER, mode=0o755),
        Entry(name="x" * 200, kind=Kind.FOLDER, mode=0o555),
        Entry(name="-l", kind=Kind.LINK, mode=0o777, target="y" * 150),
    )

    data = b"".join(tar_stream(entries, end=".end"))

    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = [(m.name, oct(m.mode), m.linkname) for m in archive.getmembers()]
    assert members == [
        (".", "0o755", ""),
        ("./" + "x" * 200, "0o755", ""),
        ("./-l", "0o777", "y" * 150),
        ("./.end", "0o600", ""),
    ]
