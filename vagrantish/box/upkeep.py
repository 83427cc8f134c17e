"""Keeps the store whole and small: what nothing needs goes, what was damaged is found."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vagrantish.box import boxfile
from vagrantish.errors import BoxError
from vagrantish.files import host_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from vagrantish.model import Box
    from vagrantish.paths import VxHome

# An artifact no box names may be one a machine is about to name, or be left by a killed vx.
_ORPHAN_GRACE_S = 3600


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
        needed = {str(file.digest) for box in boxes() for file in box.files.values()}
    except BoxError:
        return 0
    needed |= set(in_use)
    now = time.time()
    freed = 0
    for algorithm in boxfile.folders(home.artifacts):
        for path in algorithm.iterdir():
            digest = f"{algorithm.name}:{path.name}"
            if digest in needed:
                continue
            with host_errors(f"remove {path}"):
                stat = path.stat()
                if digest in at_once or now - stat.st_mtime > _ORPHAN_GRACE_S:
                    path.unlink()
                    freed += stat.st_blocks * 512
    return freed


def digests_in(record: Path, home: VxHome) -> set[str]:
    """The artifacts a record names; none when it is too damaged to say."""
    try:
        entry = boxfile.read(record, home)
    except BoxError:
        return set()
    return {str(file.digest) for file in entry[0].files.values()} if entry else set()
