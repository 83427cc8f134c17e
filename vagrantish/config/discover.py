"""Which Xhyvefile is meant: the nearest, walking up."""

from __future__ import annotations

import os
from pathlib import Path

from vagrantish.errors import NoXhyvefile

NAME = "Xhyvefile"


def find(start: Path) -> Path:
    """The absolute path of the Xhyvefile in ``start`` or the nearest folder above it.

    Raises NoXhyvefile.
    """
    folder = Path(os.path.abspath(start))
    if not folder.is_dir():
        what = "is not a folder" if os.path.lexists(folder) else "does not exist"
        raise NoXhyvefile(f"{folder} {what}", hint="Give the project's folder after -C.")
    for place in (folder, *folder.parents):
        candidate = place / NAME
        if candidate.is_file():
            return candidate
        if os.path.lexists(candidate):
            raise NoXhyvefile(
                f"{candidate} is {_what(candidate)}", hint="Move it away, then run `vx init`."
            )
    raise NoXhyvefile(
        f"there is no {NAME} in {folder} or any folder above it",
        hint="Run `vx init` to write one, or go to the project's folder.",
    )


def _what(path: Path) -> str:
    if path.is_dir():
        return "a folder, not a file"
    return "a link to nothing" if path.is_symlink() else "not a regular file"
