"""The boxes under VX_HOME, without reading them whole: `vx box verify` does that."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from vagrantish.box import upkeep
from vagrantish.files import sweep
from vagrantish.lifecycle.doctor.finding import Finding, Level, ok
from vagrantish.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.paths import VxHome

_OLD_S = 24 * 3600


def findings(home: VxHome) -> Iterator[Finding]:
    boxes, damaged = upkeep.boxes_of(home)
    for record, error in damaged.items():
        yield Finding(
            id="store.record",
            level=Level.ERROR,
            text=f"the record of a box is damaged: {record}",
            hint=f"{error} `vx box verify` tells more.",
            subject=record.parent.parent.parent.name,
        )
    files = {item.path: item.size_bytes for box, _ in boxes for item in box.files.values()}
    wrong = [text for path, size in files.items() if (text := _wrong(path, size))]
    for text in wrong:
        yield Finding(
            id="store.artifact",
            level=Level.ERROR,
            text=text,
            hint="`vx box verify --repair` brings it back.",
        )
    if not damaged and not wrong:
        many = "1 box" if len(boxes) == 1 else f"{len(boxes)} boxes"
        yield ok("store.boxes", f"{many}, {format_size(sum(files.values()))}")
    yield from _partial_downloads(home)
    yield from _staging(home)


def _wrong(path: Path, size_bytes: int) -> str:
    try:
        found = path.stat().st_size
    except OSError as error:
        return f"a file of a box cannot be read: {path}: {error.strerror}"
    if found != size_bytes:
        return f"a file of a box has {found} bytes instead of {size_bytes}: {path}"
    return ""


def _partial_downloads(home: VxHome) -> Iterator[Finding]:
    size = sum(size for _, size in _old_files(home.downloads))
    if size:
        yield Finding(
            id="store.downloads",
            level=Level.NOTE,
            text=f"{format_size(size)} of downloads were begun more than a day ago and never ended",
            hint="They go on where they stopped; `vx box prune` removes them.",
        )


def _staging(home: VxHome) -> Iterator[Finding]:
    left = sum(1 for _ in _old_files(home.tmp))
    if left:
        yield Finding(
            id="store.staging",
            level=Level.NOTE,
            text=f"killed commands left {left} files in {home.tmp}",
            hint="The next command that needs the folder sweeps it.",
            fix=lambda _op: sweep(home.tmp),
        )


def _old_files(folder: Path) -> Iterator[tuple[Path, int]]:
    before = time.time() - _OLD_S
    for parent, _, names in os.walk(folder):
        for name in names:
            path = folder / parent / name
            try:
                found = path.lstat()
            except OSError:
                continue
            if found.st_mtime < before:
                yield path, found.st_blocks * 512
