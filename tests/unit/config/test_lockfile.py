"""Xhyvefile.lock: the same text for the same content, merged by git, and hostile ones refused."""

from __future__ import annotations

import random
import shutil
import string
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.budget import rounds
from vagrantish.config import lockfile
from vagrantish.errors import ConfigError
from vagrantish.model import (
    BootMode,
    Digest,
    Lock,
    LockedBoot,
    LockedBox,
    LockedFile,
    LockedScript,
    RootKind,
    SeedKind,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

names = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8).flatmap(
    lambda first: st.text(string.ascii_letters + "._+-09", max_size=8).map(first.__add__)
)
texts = st.text(min_size=1, max_size=30).filter(str.isprintable)
digests = st.one_of(
    st.binary(min_size=32, max_size=32).map(lambda b: Digest(algorithm="sha256", hex=b.hex())),
    st.binary(min_size=64, max_size=64).map(lambda b: Digest(algorithm="sha512", hex=b.hex())),
)
urls = st.tuples(st.sampled_from(("https://", "http://")), texts).map("".join)
files = st.builds(
    LockedFile,
    part=names,
    url=st.one_of(st.just(""), urls),
    member=st.one_of(st.just(""), texts),
    size_bytes=st.one_of(st.none(), st.integers(0, (1 << 48) - 1)),
    digest=digests,
)
boots = st.builds(
    LockedBoot,
    user=names,
    seed=st.sampled_from(SeedKind),
    root=st.sampled_from(RootKind),
    cmdline=st.one_of(st.just(""), texts),
    console=names,
    cpu_level=names,
    disk_boots=st.booleans(),
    boot=st.sampled_from(BootMode),
)
boxes = st.builds(
    LockedBox,
    boots=st.one_of(st.none(), boots),
    name=names,
    asked=st.one_of(st.just(""), names),
    arch=st.sampled_from(("x86_64", "aarch64")),
    version=names,
    files=st.lists(files, max_size=3).map(tuple),
)
scripts = st.builds(LockedScript, url=texts, digest=digests)
locks = st.builds(
    Lock,
    boxes=st.lists(boxes, max_size=4, unique_by=lambda b: (b.name, b.asked, b.arch)).map(tuple),
    scripts=st.lists(scripts, max_size=3, unique_by=lambda script: script.url).map(tuple),
)


def box(name: str, version: str = "1.1") -> LockedBox:
    digest = Digest(
        algorithm="sha256", hex=f"{random.Random(name + version).getrandbits(256):064x}"
    )
    file = LockedFile(part="disk", url=f"https://x/{name}", size_bytes=7, digest=digest)
    return LockedBox(name=name, asked="1", arch="x86_64", version=version, files=(file,))


def text_of(*found: LockedBox) -> str:
    return lockfile.encode(Lock(boxes=found))


@given(locks)
@settings(max_examples=rounds(100), deadline=None)
def test_what_is_written_is_read_again_as_it_was(lock: Lock) -> None:
    text = lockfile.encode(lock)

    read = lockfile.parse(text, "Xhyvefile.lock")

    assert set(read.boxes) == set(lock.boxes)
    assert set(read.scripts) == set(lock.scripts)
    assert lockfile.encode(read) == text


def test_a_box_that_boots_by_its_kernel_needs_no_newer_vx() -> None:
    boots = LockedBoot(
        user="me", seed=SeedKind.NONE, root=RootKind.DISK, cmdline="", console="ttyS0",
        cpu_level="x86-64-v1", disk_boots=True,
    )  # fmt: skip

    assert "boot =" not in text_of(replace(box("a"), boots=boots))
    by_uefi = replace(boots, disk_boots=False, boot=BootMode.UEFI)
    assert 'boot = "uefi"' in text_of(replace(box("a"), boots=by_uefi))


@given(locks, st.randoms())
@settings(max_examples=rounds(50), deadline=None)
def test_the_order_things_are_found_in_does_not_show(lock: Lock, chance: random.Random) -> None:
    shuffled = Lock(
        boxes=tuple(chance.sample(lock.boxes, len(lock.boxes))),
        scripts=tuple(chance.sample(lock.scripts, len(lock.scripts))),
    )

    assert lockfile.encode(shuffled) == lockfile.encode(lock)


def test_a_new_version_changes_two_lines() -> None:
    before = text_of(box("debian"), box("ubuntu"), box("zeta"))
    after = text_of(box("debian"), box("ubuntu", "1.2"), box("zeta"))

    changed = [
        (a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b
    ]
    assert [a.partition(" ")[0] for a, _ in changed] == ["version", "digest"]


def merged(folder: Path, base: str, ours: str, theirs: str) -> tuple[int, str]:
    for name, text in (("ours", ours), ("base", base), ("theirs", theirs)):
        (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["git", "merge-file", "-p", "ours", "base", "theirs"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@needs_git
@pytest.mark.parametrize(
    ("ours", "theirs", "kept"),
    [
        ("am", "mz", "amz"),
        ("am", "m", "am"),
        ("mn", "bm", "bmn"),
        ("abm", "mz", "abmz"),
    ],
)
def test_boxes_that_two_people_add_merge(tmp_path: Path, ours: str, theirs: str, kept: str) -> None:
    base, *sides = (text_of(*map(box, found)) for found in ("m", ours, theirs))

    status, text = merged(tmp_path, base, *sides)

    assert (status, text) == (0, text_of(*map(box, kept)))


@needs_git
def test_versions_that_two_people_move_merge(tmp_path: Path) -> None:
    base = text_of(box("a"), box("m"), box("z"))

    status, text = merged(
        tmp_path,
        base,
        text_of(box("a", "1.2"), box("m"), box("z")),
        text_of(box("a"), box("m"), box("z", "1.3")),
    )

    assert (status, text) == (0, text_of(box("a", "1.2"), box("m"), box("z", "1.3")))


# --- damage ---------------------------------------------------------------------------------------


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        lockfile.parse(text, "x.lock")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "x.lock:1: it is no lock of vx"),
        ("schema = '1'\n", "x.lock:1: it is no lock of vx"),
        ("\n\nschema = 2\n", "x.lock:3: it was written by a newer vx"),
        ("schema = 1\nbox = 3\n", "x.lock:2: `box` is written [[box]]"),
        ("schema = 1\nbox = [1]\n", "x.lock:2: `box` is written [[box]]"),
        ("schema = 1\nboxes = []\n", "x.lock:2: `boxes` has no place here"),
        ("schema = 1\n[[script]]\nurl = 'a\\u001b'\n", "x.lock:2: `digest` is"),
        ('schema = 1\n[[script]]\nurl = "a\\u001b"\n', "x.lock:3: `url` is missing or no text"),
    ],
)
def test_a_lock_that_is_none_is_told_with_its_line(text: str, said: str) -> None:
    assert any(said in problem for problem in problems(text)), problems(text)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('name = "../../etc"', "`name` is no name"),
        ('asked = "a b"', "`asked` is no name"),
        ('version = ""', "`version` is missing"),
        ("arch = 64", "`arch` is missing"),
        ('part = "/etc/passwd"', "`part` is no name"),
        ('url = "file:///etc/shadow"', "begins with neither https:// nor http://"),
        ('url = "javascript:x"', "begins with neither"),
        ("size = -1", "`size` is no number of bytes"),
        ("size = true", "`size` is no number of bytes"),
        ("size = 99999999999999999999", "`size` is no number of bytes"),
        ('digest = "md5:d41d8cd98f00b204e9800998ecf8427e"', "`digest` is"),
        ('digest = "sha256:00"', "`digest` is"),
        ("member = 5", "`member` is missing or no text"),
    ],
)
def test_each_value_that_cannot_be_is_told(line: str, said: str) -> None:
    key = line.partition(" ")[0]
    lines = [
        line if given.partition(" ")[0] == key else given
        for given in text_of(box("a")).splitlines()
    ]
    if key == "member":
        lines.append(line)

    (problem,) = problems("\n".join(lines))

    assert said in problem
    assert problem.startswith(f"x.lock:{lines.index(line) + 1}: ")


def test_a_box_that_a_merge_kept_twice_is_told_where() -> None:
    both = text_of(box("a"), box("b")) + text_of(box("b", "1.2")).partition("\n\n")[2]

    (problem,) = problems(both)

    assert problem.partition(": ")[2] == "this box is in it twice"
    line = int(problem.split(":")[1])
    assert "".join(both.splitlines()[line - 1 : line + 1]).endswith('name = "b"')


def test_of_many_problems_twenty_are_told() -> None:
    text = "schema = 1\n" + "[[script]]\n" * 500

    assert len(problems(text)) == 20


def damaged(text: str, chance: random.Random) -> str:
    lines = text.splitlines()
    match chance.randrange(5):
        case 0:
            return text[: chance.randrange(len(text))]
        case 1:
            at = chance.randrange(len(text))
            return text[:at] + chance.choice("\0\x1b\"'[]=\n{}9-é") + text[at + 1 :]
        case 2:
            chance.shuffle(lines)
        case 3:
            del lines[chance.randrange(len(lines))]
        case _:
            lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    return "\n".join(lines)


@given(locks, st.randoms())
@settings(max_examples=rounds(150), deadline=None)
def test_damage_is_told_or_does_no_harm(lock: Lock, chance: random.Random) -> None:
    text = damaged(lockfile.encode(lock), chance)

    try:
        read = lockfile.parse(text, "x.lock")
    except ConfigError as error:
        assert all(str(problem).startswith("x.lock:") for problem in error.problems)  # noqa: PT017
        return
    # What was still taken is a lock in its own right.
    assert set(lockfile.parse(lockfile.encode(read), "x.lock").boxes) == set(read.boxes)
    for file in _files(read.boxes):
        assert not file.url or file.url.startswith(("https://", "http://"))


def _files(found: Iterable[LockedBox]) -> Iterable[LockedFile]:
    return (file for one in found for file in one.files)
