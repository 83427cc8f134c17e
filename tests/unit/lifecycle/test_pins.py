"""Whether a box is the locked one, by what its files were when they were fetched."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from vagrantish.lifecycle.pins import LockMismatch, check
from vagrantish.model import (
    Artifact,
    ArtifactKind,
    Box,
    Digest,
    Fetched,
    LockedBox,
    LockedFile,
    RootKind,
    SeedKind,
    Source,
)

URL = "https://example.org/core.iso"
FETCHED = Fetched(url=URL, sha256="ab" * 32, size_bytes=9, verified="pinned")
LONG = hashlib.sha512(b"x").hexdigest()
BOX = Box(
    name="corp", version="1.1", arch="x86_64", cmdline="", user="me", seed=SeedKind.NONE,
    root=RootKind.RAM,
    artifacts={ArtifactKind.KERNEL: Artifact(
        kind=ArtifactKind.KERNEL, digest=Digest(algorithm="sha256", hex="cd" * 32), size_bytes=5,
        path=Path("/x"))},
    sources=(Source(part="kernel", url=URL, fetched=FETCHED, member="boot/vmlinuz",
                    pinned=f"sha512:{LONG}"),),
)  # fmt: skip
FILE = LockedFile(
    part="kernel", url=URL, member="boot/vmlinuz", digest=Digest(algorithm="sha256", hex="ab" * 32)
)


def judged(file: LockedFile, box: Box = BOX) -> str:
    """What is said against the box; "" when it is the locked one."""
    locked = LockedBox(name="corp", asked="1", arch="x86_64", version="1.1", files=(file,))
    try:
        check(locked, box, lock_name="x.lock")
    except LockMismatch as error:
        return error.message
    return ""


def test_the_file_that_was_fetched_is_the_one_that_counts() -> None:
    assert judged(FILE) == ""
    assert judged(replace(FILE, digest=Digest(algorithm="sha512", hex=LONG))) == ""
    assert judged(replace(FILE, url="https://mirror.example/other.iso")) == ""


@pytest.mark.parametrize(
    ("digest", "found"),
    [
        (Digest(algorithm="sha256", hex="cd" * 32), f"sha256:{'ab' * 32}"),
        (Digest(algorithm="sha512", hex="cd" * 64), f"sha512:{LONG}"),
    ],
)
def test_another_is_told_with_what_was_expected_and_what_is_there(
    digest: Digest, found: str
) -> None:
    assert judged(replace(FILE, digest=digest)) == (
        f"the kernel of corp@1.1 is not the one in x.lock: expected {digest}, found {found}"
    )


@pytest.mark.parametrize(
    "file", [replace(FILE, member="boot/other"), replace(FILE, part="openssh.tcz")]
)
def test_what_was_not_taken_from_there_is_another(file: LockedFile) -> None:
    assert judged(file).endswith("found a corp@1.1 that was not fetched from there")


def test_scripts_know_it_by_its_code() -> None:
    assert (LockMismatch.code, LockMismatch.exit_status) == ("lock-mismatch", 4)


def test_of_a_box_that_cannot_be_fetched_the_artifacts_count() -> None:
    local = replace(BOX, sources=())
    file = replace(FILE, url="", member="", digest=Digest(algorithm="sha256", hex="cd" * 32))

    assert judged(file, local) == ""
    assert f"found sha256:{'cd' * 32}" in judged(replace(file, digest=FILE.digest), local)
