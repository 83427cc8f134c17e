"""The store kept small: what is decided, and what happens when several do it at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.recorder import quiet_op
from tests.fakes.tinybox import ARCH, box_folder
from vagrantish.box import upkeep
from vagrantish.box.store import BoxStore
from vagrantish.box.upkeep_prune import Budget, Needs, decide, key_of, prune, survey
from vagrantish.box.upkeep_verify import Fault, verify
from vagrantish.model import Artifact, ArtifactKind, Box, BoxRef, Digest, RootKind, SeedKind
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_000_000.0
ALL = Budget(own_files=True, older_than_s=0)
DIGITS = {letter: f"sha256:{letter * 64}" for letter in "abcdef"}


@pytest.fixture
def home(tmp_path: Path) -> VxHome:
    return VxHome(tmp_path / "home")


def box_of(name: str, *digits: str) -> Box:
    """A box with an artifact for each hexadecimal digit."""
    kinds = tuple(ArtifactKind)
    return Box(
        name=name,
        version="1",
        arch=ARCH,
        artifacts={
            kind: Artifact(
                kind=kind,
                digest=Digest(algorithm="sha256", hex=digit * 64),
                size_bytes=1,
                path=Path("none"),
            )
            for kind, digit in zip(kinds, digits, strict=False)
        },
        cmdline="",
        user="u",
        seed=SeedKind.NONE,
        root=RootKind.RAM,
    )


def gone(entries: list[tuple[Box, float]], needs: Needs, budget: Budget) -> list[str]:
    """Names of boxes that go; every artifact takes 100 bytes, ages are in seconds."""
    used = [(box, NOW - age) for box, age in entries]
    verdicts = decide(
        used,
        dict.fromkeys(DIGITS.values(), 100),
        needs,
        budget,
        unclear=False,
        only=None,
        now=NOW,
    )
    return [each.box.name for each in verdicts if not each.stays]


def test_a_size_takes_the_longest_unused_first_and_no_more_than_it_must() -> None:
    entries = [(box_of("old", "a"), 3000.0), (box_of("new", "b"), 1000.0), (box_of("mid", "c"), 2000.0)]  # fmt: skip

    def at(size: int) -> list[str]:
        return gone(entries, Needs(), Budget(own_files=True, max_bytes=size))

    assert at(600) == []
    assert at(599) == ["old"]
    assert at(401) == ["mid", "old"]
    assert at(0) == ["mid", "new", "old"]


def test_what_is_shared_is_freed_with_the_last_that_has_it() -> None:
    entries = [(box_of("one", "a"), 4000.0), (box_of("twin", "a"), 3000.0), (box_of("third", "b"), 2000.0)]  # fmt: skip
    budget = Budget(own_files=True, max_bytes=500)

    assert gone(entries, Needs(), budget) == ["one", "twin"]
    used_by_machine = Needs(digests=frozenset([DIGITS["a"]]))
    assert gone(entries, used_by_machine, budget) == ["one", "third", "twin"]


def test_age_and_size_together_take_what_either_takes() -> None:
    entries = [(box_of("old", "a"), 5000.0), (box_of("mid", "b"), 3000.0), (box_of("new", "c"), 2000.0)]  # fmt: skip

    assert gone(entries, Needs(), Budget(own_files=True, older_than_s=4000)) == ["old"]
    both = Budget(own_files=True, older_than_s=4000, max_bytes=450)
    assert gone(entries, Needs(), both) == ["mid", "old"]


def test_what_is_needed_stays_whatever_the_budget() -> None:
    entries = [(box_of("old", "a"), 5000.0)]
    needs = Needs(boxes={("old", "1", ARCH): "a lock has it"})

    assert gone(entries, needs, Budget(own_files=True, older_than_s=0, max_bytes=0)) == []


def add(home: VxHome, tmp_path: Path, version: str) -> Box:
    return BoxStore(home).add(box_folder(tmp_path, version=version), op=quiet_op())


def test_only_boxes_somebody_agreed_to_go(home: VxHome, tmp_path: Path) -> None:
    first, second = (add(home, tmp_path, version) for version in "12")
    store = BoxStore(home)

    done = prune(store, home, Needs, ALL, only={key_of(first)}, op=quiet_op())

    assert [each.key for each in done.going] == [key_of(first)]
    assert store.list() == (second,)


def test_a_box_a_machine_took_after_the_question_stays(home: VxHome, tmp_path: Path) -> None:
    box = add(home, tmp_path, "1")
    store = BoxStore(home)
    seen = survey(store, home, Needs, ALL, op=quiet_op())
    assert [each.key for each in seen.going] == [key_of(box)]

    def needs() -> Needs:
        return Needs(boxes={key_of(box): "a machine has it"})

    assert prune(store, home, needs, ALL, only={key_of(box)}, op=quiet_op()).is_empty
    assert store.list() == (box,)


def test_use_makes_a_box_young(home: VxHome, tmp_path: Path) -> None:
    box = add(home, tmp_path, "1")
    record = home.boxes / "tiny" / "1" / ARCH / "box.json"
    os.utime(record, (1, 1))
    BoxStore(home).used(box)

    assert time.time() - record.stat().st_mtime < 60
    BoxStore(home).remove(BoxRef(name="tiny"), ARCH, in_use=(), op=quiet_op())
    BoxStore(home).used(box)  # of one that is gone: nothing
    assert not (home.boxes / "tiny").exists()


def test_a_record_in_another_boxs_place_is_damage(home: VxHome, tmp_path: Path) -> None:
    add(home, tmp_path, "1")
    (home.boxes / "tiny" / "1").rename(home.boxes / "tiny" / "2")

    boxes, damaged = upkeep.boxes_of(home)

    assert boxes == ()
    assert "of another box: tiny@1" in str(next(iter(damaged.values())))
    found = verify(home, (), {}, op=quiet_op()).findings
    assert Fault.RECORD in [each.fault for each in found]
    assert survey(BoxStore(home), home, Needs, ALL, op=quiet_op()).is_empty


def test_what_a_killed_vx_left_of_a_record_is_swept(home: VxHome) -> None:
    folder = home.boxes / "half" / "1" / ARCH
    folder.mkdir(parents=True)
    (folder / ".box.json.0123abcd.tmp").write_text("{")

    prune(BoxStore(home), home, Needs, ALL, only=(), op=quiet_op())

    assert list(home.boxes.iterdir()) == []


def test_raw_copies_go_with_their_disk_or_when_idle(home: VxHome, tmp_path: Path) -> None:
    box = add(home, tmp_path, "1")
    needed = next(iter(box.files.values())).digest
    folder = home.artifacts / "raw"
    folder.mkdir()
    for name in (needed.hex, "a" * 64):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (time.time() - 7200,) * 2)

    store = BoxStore(home)
    keep = Needs(boxes={key_of(box): "a machine has it"})
    prune(store, home, lambda: keep, Budget(), only=(), op=quiet_op())
    assert [path.name for path in folder.iterdir()] == [needed.hex]

    os.utime(folder / needed.hex, (time.time() - 2 * 86400,) * 2)
    prune(store, home, lambda: keep, Budget(), only=(), op=quiet_op())
    assert list(folder.iterdir()) == []

    (folder / needed.hex).write_bytes(b"x")
    store.remove(BoxRef(name="tiny"), ARCH, in_use=(), op=quiet_op())
    assert list(folder.iterdir()) == []


# --- several at once, and kills ------------------------------------------------------------

WORK = """
import sys
from pathlib import Path
from tests.fakes.recorder import quiet_op
from tests.fakes.tinybox import ARCH
from vagrantish.box.store import BoxStore
from vagrantish.box.upkeep_prune import Budget, Needs, prune, survey
from vagrantish.errors import BoxNotFound
from vagrantish.model import BoxRef
from vagrantish.paths import VxHome

home, what, source, turns = VxHome(Path(sys.argv[1])), sys.argv[2], sys.argv[3], int(sys.argv[4])
store, op = BoxStore(home), quiet_op()
print("on", flush=True)
for turn in range(turns):
    if what == "add":
        store.add(Path(source), name=f"{Path(source).name}-{turn % 3}", force=True, op=op)
    elif what == "prune":
        budget = Budget(own_files=True, older_than_s=0)
        going = survey(store, home, Needs, budget, op=op).going[::2]
        prune(store, home, Needs, budget, only={each.key for each in going}, op=op)
    else:
        try:
            store.remove(BoxRef(name=f"{Path(source).name}-{turn % 3}"), ARCH, in_use=(), op=op)
        except BoxNotFound:
            pass
"""


@contextmanager
def at_work(
    home: VxHome, turns: int, *jobs: tuple[str, Path]
) -> Iterator[list[subprocess.Popen[str]]]:
    """A process for each job, all begun; none outlives the test."""
    with ExitStack() as stack:
        processes = []
        for what, source in jobs:
            words = [sys.executable, "-c", WORK, str(home.root), what, str(source), str(turns)]
            process = stack.enter_context(
                subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            processes.append(process)
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield processes


def sources(tmp_path: Path) -> list[Path]:
    """Two boxes that share one kernel, so that each one's end touches the other's."""
    first, second = (box_folder(tmp_path, version=version) for version in "12")
    (second / "vmlinuz").write_bytes((first / "vmlinuz").read_bytes())
    return [first, second]


def test_two_adds_a_prune_and_a_remove_at_once_lose_nothing(home: VxHome, tmp_path: Path) -> None:
    first, second = sources(tmp_path)
    jobs = (("add", first), ("add", second), ("prune", first), ("remove", second))
    with at_work(home, 60, *jobs) as processes:
        for process in processes:
            _, err = process.communicate(timeout=60)
            assert process.returncode == 0, err

    assert verify(home, (), {}, op=quiet_op()).findings == ()
    for box in BoxStore(home).list():
        assert all(file.path.exists() for file in box.files.values())


def test_folders_that_a_killed_add_had_only_begun_go(home: VxHome) -> None:
    (home.boxes / "begun").mkdir(parents=True)
    (home.boxes / "further" / "1").mkdir(parents=True)

    prune(BoxStore(home), home, Needs, ALL, only=(), op=quiet_op())

    assert list(home.boxes.iterdir()) == []


def test_kills_leave_a_store_that_is_whole(home: VxHome, tmp_path: Path) -> None:
    first, second = sources(tmp_path)
    chance = random.Random(7)
    jobs = (("add", first), ("prune", first), ("remove", second), ("add", second))
    for _ in range(6):
        with at_work(home, 10_000, *jobs) as processes:
            for process in processes:
                time.sleep(chance.uniform(0, 0.08))
                process.send_signal(signal.SIGKILL)
            for process in processes:
                process.communicate(timeout=10)

        assert verify(home, (), {}, op=quiet_op()).findings == ()
    store = BoxStore(home)
    prune(store, home, Needs, ALL, only={key_of(box) for box in store.list()}, op=quiet_op())
    assert store.list() == ()
    assert list(home.boxes.iterdir()) == []
    assert list(home.tmp.iterdir()) == []
