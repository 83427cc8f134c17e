"""Keeps the store small: what no box and no machine needs goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from vagrantish.box import boxfile, rawdisk
from vagrantish.errors import BoxError
from vagrantish.files import host_errors, sweep_staged

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from vagrantish.model import Box
    from vagrantish.paths import VxHome

# An artifact no box names may be one a machine is about to name, or be left by a killed vx.
_ORPHAN_GRACE_S = 3600


class Leftover(NamedTuple):
    """A file below ``artifacts`` that may go."""

    path: Path
    size_bytes: int  # on the host's disk
    raw: bool  # a raw copy, which can be made again


def collect(
    home: VxHome,
    boxes: Callable[[], tuple[Box, ...]],
    *,
    at_once: Collection[str],
    in_use: Collection[str],
) -> int:
    """Delete artifacts no box and no machine needs; the bytes freed. The caller holds the lock.

    Those not in ``at_once`` get an hour's grace. Nothing goes while a record is damaged.
    """
    try:
        needed = digests_of(boxes())
    except BoxError:
        return 0
    found = leftovers(home, needed | set(in_use), at_once=at_once, now=time.time())
    return delete(found)


def leftovers(
    home: VxHome,
    needed: Collection[str],
    *,
    at_once: Collection[str] = (),
    now: float,
    raw_older_than_s: float | None = None,
) -> tuple[Leftover, ...]:
    """Artifacts whose digest is not ``needed``, and raw copies of such.

    With ``raw_older_than_s`` also other raw copies, once nobody has used them for so long.
    """
    found = []
    for path, digest in artifacts(home):
        stat = path.stat()
        if digest not in needed and (digest in at_once or _is_old(stat.st_mtime, now)):
            found.append(Leftover(path, stat.st_blocks * 512, raw=False))
    for path, digest in rawdisk.copies(home):
        stat = path.stat()
        idle_s = now - stat.st_mtime
        wanted = digest in needed and (raw_older_than_s is None or idle_s < raw_older_than_s)
        if not wanted and (digest in at_once or _is_old(stat.st_mtime, now)):
            found.append(Leftover(path, stat.st_blocks * 512, raw=True))
    return tuple(found)


def delete(files: Iterable[Leftover]) -> int:
    """The bytes freed. Raises HostError."""
    freed = 0
    for file in files:
        with host_errors(f"remove {file.path}"):
            file.path.unlink(missing_ok=True)
        freed += file.size_bytes
    return freed


def artifacts(home: VxHome) -> Iterator[tuple[Path, str]]:
    """Every artifact file that is there, whoever needs it, and the digest it is kept under."""
    for algorithm in boxfile.folders(home.artifacts):
        if algorithm != home.raw_copies:
            for path in sorted(algorithm.iterdir()):
                yield path, f"{algorithm.name}:{path.name}"


def boxes_of(home: VxHome) -> tuple[tuple[tuple[Box, float], ...], dict[Path, BoxError]]:
    """Each box with when it was last used or added; and the records that are damaged."""
    found: list[tuple[Box, float]] = []
    damaged: dict[Path, BoxError] = {}
    for record in boxfile.records(home):
        try:
            entry = boxfile.read(record, home)
            if entry is None:
                continue
            box, added_at = entry
            if home.boxes.joinpath(box.name, box.version, box.arch) != record.parent:
                raise BoxError(
                    f"the store's record at {record} is of another box: {box.label} ({box.arch})",
                    hint="Remove that file, and add the box again.",
                )
            used_at = record.stat().st_mtime  # see BoxStore.used
        except BoxError as error:
            damaged[record] = error
        except FileNotFoundError:
            continue  # removed just now
        else:
            found.append((box, max(added_at, used_at)))
    return tuple(found), damaged


def digests_of(boxes: Iterable[Box]) -> set[str]:
    return {str(file.digest) for box in boxes for file in box.files.values()}


def digests_in(record: Path, home: VxHome) -> set[str]:
    """The artifacts a record names; none when it is too damaged to say."""
    try:
        entry = boxfile.read(record, home)
    except BoxError:
        return set()
    return digests_of([entry[0]]) if entry else set()


def drop_record(record: Path) -> None:
    """Remove a box's record and the folders it leaves empty; the caller holds the lock.

    Raises HostError.
    """
    sweep_staged(record)
    with host_errors(f"remove {record}"):
        record.unlink(missing_ok=True)
        for folder in (record.parent, record.parent.parent, record.parent.parent.parent):
            if any(folder.iterdir()):
                break
            folder.rmdir()


def _is_old(mtime: float, now: float) -> bool:
    return now - mtime > _ORPHAN_GRACE_S
