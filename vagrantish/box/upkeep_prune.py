"""Prunes the store: boxes nothing needs, and what is left of others."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vagrantish.box import boxfile, upkeep
from vagrantish.files import host_errors, remove_tree, sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from vagrantish.box.store import BoxStore
    from vagrantish.box.upkeep import Leftover
    from vagrantish.events import Op
    from vagrantish.model import Box
    from vagrantish.paths import VxHome

    Key = tuple[str, str, str]  # name, version, arch

# A box that came or was used just now may be one a machine is about to be made from.
GRACE_S = 600
_RAW_IDLE_S = 24 * 3600
_DOWNLOAD_IDLE_S = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What is needed outside the store."""

    boxes: Mapping[Key, str] = field(default_factory=dict)  # and why
    digests: frozenset[str] = frozenset()
    unclear: tuple[str, ...] = ()  # why nobody knows all of it: then no box goes


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Which of the boxes nothing needs go. Without a number all of them."""

    older_than_s: float | None = None  # those not used for so long
    max_bytes: int | None = None  # those used longest ago, until the store has no more than this
    own_files: bool = False  # also those nobody could fetch or build again


@dataclass(frozen=True, kw_only=True)
class Judged:
    box: Box
    used_at: float  # or added
    size_bytes: int  # on the host's disk, what it shares with others too
    stays: str  # why; "" for one that goes

    @property
    def key(self) -> Key:
        return key_of(self.box)


@dataclass(frozen=True, kw_only=True)
class Plan:
    boxes: tuple[Judged, ...]
    files: tuple[Leftover, ...]
    downloads: tuple[tuple[Path, int], ...]
    total_bytes: int  # of all artifacts and raw copies before
    unclear: tuple[str, ...]

    @property
    def going(self) -> tuple[Judged, ...]:
        return tuple(judged for judged in self.boxes if not judged.stays)

    @property
    def freed_bytes(self) -> int:
        return self.freed_artifact_bytes + sum(size for _, size in self.downloads)

    @property
    def freed_artifact_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def is_empty(self) -> bool:
        return not (self.going or self.files or self.downloads)


def key_of(box: Box) -> Key:
    return box.name, box.version, box.arch


def plan(
    home: VxHome, needs: Needs, budget: Budget, *, only: Collection[Key] | None = None
) -> Plan:
    """What `prune` would do. ``only`` limits the boxes that go. The caller holds the store's lock.

    Raises HostError.
    """
    from vagrantish.fetch.partial import stale

    now = time.time()
    entries, damaged = upkeep.boxes_of(home)
    unclear = (*needs.unclear, *(str(error) for error in damaged.values()))
    with host_errors(f"look into {home.artifacts}"):
        needed = upkeep.digests_of(box for box, _ in entries) | needs.digests
        raw_idle_s = max(_RAW_IDLE_S, budget.older_than_s or 0)
        loose = upkeep.leftovers(home, needed, now=now, raw_older_than_s=raw_idle_s)
        sizes, total = _sizes(home, loose)
        judged = decide(entries, sizes, needs, budget, unclear=bool(unclear), only=only, now=now)
        going = [each.box for each in judged if not each.stays]
        staying = [each.box for each in judged if each.stays]
        files = upkeep.leftovers(
            home,
            upkeep.digests_of(staying) | needs.digests,
            at_once=upkeep.digests_of(going),
            now=now,
            raw_older_than_s=raw_idle_s,
        )
        downloads = stale(home.downloads, older_than_s=_DOWNLOAD_IDLE_S, now=now)
    return Plan(
        boxes=judged,
        # What an unreadable record names may be any of the artifacts; a copy can be made again.
        files=tuple(file for file in files if file.raw or not unclear),
        downloads=downloads,
        total_bytes=total,
        unclear=unclear,
    )


def decide(
    entries: Collection[tuple[Box, float]],
    sizes: Mapping[str, int],
    needs: Needs,
    budget: Budget,
    *,
    unclear: bool,
    only: Collection[Key] | None,
    now: float,
) -> tuple[Judged, ...]:
    """Each box with when it was used, and whether it goes: pure. ``sizes`` are by digest."""
    users = Counter(digest for box, _ in entries for digest in upkeep.digests_of([box]))
    users.update(needs.digests)
    total = sum(sizes.values())
    verdicts = []
    for box, used_at in sorted(entries, key=lambda entry: entry[1]):
        own = upkeep.digests_of([box])
        stays = _why_kept(box, now - used_at, needs, budget, over=_is_over(total, budget))
        if unclear and not stays:
            stays = "it is not clear what needs it"
        if only is not None and key_of(box) not in only and not stays:
            stays = "nobody was asked about it"
        if not stays:
            users.subtract(own)
            total -= sum(sizes.get(digest, 0) for digest in own if not users[digest])
        size = sum(sizes.get(digest, 0) for digest in own)
        verdicts.append(Judged(box=box, used_at=used_at, size_bytes=size, stays=stays))
    return tuple(sorted(verdicts, key=lambda each: (each.box.name, each.used_at)))


def _why_kept(box: Box, idle_s: float, needs: Needs, budget: Budget, *, over: bool) -> str:
    if key_of(box) in needs.boxes:
        return needs.boxes[key_of(box)]
    if not (budget.own_files or box.sources or box.name == "micro"):
        return f"it came from {box.origin or 'your own files'}, and cannot be fetched again"
    if budget.older_than_s is None and idle_s < GRACE_S:
        return "it came or was used a moment ago"
    if budget.older_than_s is not None and idle_s >= budget.older_than_s:
        return ""
    if budget.max_bytes is not None:
        return "" if over and idle_s >= GRACE_S else "there is room for it"
    return "it was used since" if budget.older_than_s is not None else ""


def _is_over(total: int, budget: Budget) -> bool:
    return budget.max_bytes is not None and total > budget.max_bytes


def _sizes(home: VxHome, loose: Collection[Leftover]) -> tuple[dict[str, int], int]:
    """What each artifact takes with its raw copy, where these stay, and what all take now."""
    from vagrantish.box import rawdisk

    gone = {file.path for file in loose}
    sizes: dict[str, int] = {}
    total = 0
    for path, digest in (*upkeep.artifacts(home), *rawdisk.copies(home)):
        size = path.stat().st_blocks * 512
        total += size
        if path not in gone:
            sizes[digest] = sizes.get(digest, 0) + size
    return sizes, total


def survey(
    store: BoxStore, home: VxHome, needs: Callable[[], Needs], budget: Budget, *, op: Op
) -> Plan:
    """What `prune` would do, all of it. Raises HostError, Cancelled."""
    with store.locked(op):
        return plan(home, needs(), budget)


def prune(
    store: BoxStore,
    home: VxHome,
    needs: Callable[[], Needs],
    budget: Budget,
    *,
    only: Collection[Key],
    op: Op,
) -> Plan:
    """Remove what nothing needs, of the boxes those in ``only``; answers what went.

    ``needs`` is asked while the store is locked. Raises HostError, Cancelled.
    """
    with store.locked(op):
        done = plan(home, needs(), budget, only=only)
        for judged in done.going:
            upkeep.drop_record(_record(home, judged.key))
        upkeep.delete(done.files)
        for record in list(_empty_records(home)):
            upkeep.drop_record(record)
        _drop_empty_folders(home)
    for path, _ in done.downloads:
        remove_tree(path)
    sweep(home.tmp)
    return done


def _record(home: VxHome, key: Key) -> Path:
    return home.boxes.joinpath(*key) / boxfile.FILE_NAME


def _drop_empty_folders(home: VxHome) -> None:
    """Of a vx that was killed between making a box's folders. Raises HostError."""
    with host_errors(f"clear {home.boxes}"):
        for name in boxfile.folders(home.boxes):
            for folder in (*boxfile.folders(name), name):
                if not any(folder.iterdir()):
                    folder.rmdir()


def _empty_records(home: VxHome) -> Iterator[Path]:
    """What a vx left that was killed while it made or removed a box."""
    for record in boxfile.records(home):
        if not record.exists():
            yield record
