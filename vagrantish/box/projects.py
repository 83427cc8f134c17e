"""The projects of this home: those whose locks say which boxes are still wanted."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vagrantish.errors import HostError

if TYPE_CHECKING:
    from vagrantish.paths import VxHome

LOCK_NAME = "Xhyvefile.lock"
_PATH_MAX = 8192
_MOST = 1000  # beyond it those go whose folder is gone


def note(home: VxHome, root: Path, *, lock_name: str = LOCK_NAME) -> None:
    """Remember the project in ``root``; of one that is known, a look. Never raises."""
    from vagrantish.files import make_dir, write_atomic

    text = os.fsencode(os.path.join(root, lock_name))
    entry = home.projects / hashlib.sha256(text).hexdigest()[:32]
    if entry.exists():
        return
    with suppress(HostError, OSError):  # the record of its machine knows the project as well
        make_dir(home.root, mode=0o700)
        make_dir(entry.parent, mode=0o700)
        _forget_gone(entry.parent)
        write_atomic(entry, text, mode=0o600)


def known(home: VxHome) -> tuple[Path, ...]:
    """The folders of projects that were noted and are still there."""
    return tuple(dict.fromkeys(lock.parent for lock in locks(home)))


def locks(home: VxHome) -> tuple[Path, ...]:
    """Where those projects have their locks, or may have them."""
    found = (_read(entry) for entry in _entries(home.projects))
    return tuple(sorted({lock for lock in found if lock is not None and lock.parent.is_dir()}))


def _entries(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError:
        return []


def _read(entry: Path) -> Path | None:
    """None for what is damaged: no more is lost than this one."""
    try:
        with entry.open("rb") as file:
            text = file.read(_PATH_MAX + 1)
        path = Path(os.fsdecode(text))
        usable = path.is_absolute() and b"\0" not in text and len(text) <= _PATH_MAX
        return path if usable else None
    except (OSError, ValueError):
        return None


def _forget_gone(folder: Path) -> None:
    entries = _entries(folder)
    if len(entries) < _MOST:
        return
    for entry in entries:
        lock = _read(entry)
        if lock is None or not lock.parent.is_dir():
            entry.unlink(missing_ok=True)
