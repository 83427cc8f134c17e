"""What is said of a box that is not in the store, or not whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.box import boxfile
from vagrantish.errors import BoxError, BoxNotFound

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.model import Box, BoxRef
    from vagrantish.paths import VxHome


def versions_of(home: VxHome, name: str, arch: str) -> tuple[str, ...]:
    return tuple(
        version.name
        for version in boxfile.folders(home.boxes / name)
        if (version / arch / boxfile.FILE_NAME).exists()
    )


def not_found(home: VxHome, ref: BoxRef, arch: str) -> BoxNotFound:
    """The error that names what comes close."""
    versions = versions_of(home, ref.name, arch)
    if versions:
        return BoxNotFound(
            f"there is no box {ref} in the store; of {ref.name} it has {', '.join(versions)}",
            hint=f'Write "{ref.name}@{versions[-1]}", or add that version with `vx box add`.',
        )
    others = sorted({path.parent.name for path in boxfile.records(home) if _is_of(path, ref.name)})
    if others:
        return BoxNotFound(
            f"the store has {ref.name} for {', '.join(others)}, not for {arch}",
            hint="Add it for this architecture with `vx box add`.",
        )
    if ref.name == "micro":
        return BoxNotFound(
            f"there is no box {ref} in the store", hint="Build it: `vx box build micro`."
        )
    import difflib

    known = [folder.name for folder in boxfile.folders(home.boxes)]
    close = difflib.get_close_matches(ref.name, [*known, "micro"], n=1)
    maybe = f'Did you mean "{close[0]}"? ' if close else ""
    return BoxNotFound(
        f"there is no box {ref} in the store",
        hint=f"{maybe}Add one with `vx box add`, or build one with `vx box build micro`.",
    )


def check_sizes(box: Box) -> None:
    """Raises BoxError when a file of the box is gone or cut short."""
    for part, file in box.files.items():
        size = _size_of(file.path)
        if size != file.size_bytes:
            what = "is gone from the store" if size is None else "is damaged in the store"
            raise BoxError(
                f"the {part} of {box.label} {what}: {file.path}",
                hint=f"Put it back with {again(box)}.",
            )


def again(box: Box) -> str:
    """The command that brings the files of ``box`` once more."""
    if box.name == "micro":
        return "`vx box build micro --force`"
    if box.sources:
        return f"`vx box add {box.label} --force`"
    return "`vx box add --force`"


def _is_of(record: Path, name: str) -> bool:
    return record.parent.parent.parent.name == name and record.exists()


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
