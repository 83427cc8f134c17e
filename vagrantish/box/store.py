"""The boxes of this home: complete or absent, their artifacts kept once each by digest."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.box import boxfile, reference
from vagrantish.errors import BoxError, BoxNotFound

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any

    from vagrantish.box.ingest import Staged
    from vagrantish.events import Op
    from vagrantish.model import Box, BoxParts, BoxRef
    from vagrantish.paths import VxHome

# An artifact no box names may be one a machine is about to name, or be left by a killed vx.
_ORPHAN_GRACE_S = 3600


class BoxStore:
    def __init__(self, home: VxHome) -> None:
        self._home = home

    def get(self, ref: BoxRef, arch: str) -> Box | None:
        """The box, or without a version the one added last; None when there is none.

        Looks at sizes, not at bytes: those were checked when they came in. Raises BoxError when
        one of its files is gone or cut short.
        """
        if ref.version is not None:
            found = boxfile.read(self._record(ref.name, ref.version, arch), self._home)
            candidates = [found] if found else []
        else:
            candidates = [
                entry
                for version in _folders(self._home.boxes / ref.name)
                if (entry := boxfile.read(version / arch / boxfile.FILE_NAME, self._home))
            ]
        if not candidates:
            return None
        box, _ = max(candidates, key=lambda entry: (entry[1], entry[0].version))
        _check_sizes(box)
        return box

    def find(self, ref: BoxRef, arch: str) -> Box:
        """Raises BoxNotFound with what comes close; BoxError as `get` does."""
        box = self.get(ref, arch)
        if box is None:
            raise self._not_found(ref, arch)
        return box

    def list(self) -> tuple[Box, ...]:
        """By name, then in the order they were added. Raises BoxError for a damaged record."""
        entries = [
            entry
            for path in self._records()
            if (entry := boxfile.read(path, self._home)) is not None
        ]
        entries.sort(key=lambda entry: (entry[0].name, entry[1], entry[0].version, entry[0].arch))
        return tuple(box for box, _ in entries)

    def defaults_of(self, ref: BoxRef, arch: str = "") -> tuple[str, Mapping[str, Any]] | None:
        """The box's own layer of settings and the name to show for it; None without such a box."""
        box = self.get(ref, arch or reference.host_arch())
        return (f"box {box.label}", box.defaults) if box else None

    def add(
        self,
        source: Path,
        *,
        name: str | None = None,
        version: str | None = None,
        force: bool = False,
        origin: str = "",
        op: Op,
    ) -> Box:
        """Take in a folder or archive that holds box.toml and the files it names.

        ``origin`` is what people are told of where it came from; ``source`` by default.

        The same box again is answered as it is; a different one of the same name and version
        needs ``force``. Raises BoxError, HostError; the store is then as it was.
        """
        from vagrantish.box import adding
        from vagrantish.files import staging

        with staging(self._home.tmp) as folder:
            box, staged = adding.from_source(
                source, folder, self._home, name=name, version=version, origin=origin, op=op
            )
            return self._publish(box, staged, force=force, op=op)

    def adopt(self, parts: BoxParts, *, op: Op) -> Box:
        """The box made of the Xhyvefile's own files, each copied into the store the first time.

        Raises BoxError, FetchError, DigestMismatch, HostError.
        """
        from vagrantish.box.adopting import adopt

        return adopt(self, self._home, parts, op=op)

    def remove(self, ref: BoxRef, arch: str, *, in_use: Collection[str], op: Op) -> None:
        """Take the box out, and the artifacts nothing needs any more.

        ``ref`` names one version unless the store has only one. ``in_use`` holds the digests of
        artifacts machines need: those stay. Raises BoxNotFound, BoxError, HostError.
        """
        from vagrantish.files import host_errors

        with self.locked(op):
            record = self._record(ref.name, ref.version or self._only_version(ref, arch), arch)
            if not record.exists():
                raise self._not_found(ref, arch)
            gone = _digests_in(record, self._home)
            with host_errors(f"remove {record}"):
                record.unlink()
                for folder in (record.parent, record.parent.parent, record.parent.parent.parent):
                    if any(folder.iterdir()):
                        break
                    folder.rmdir()
            self._collect(at_once=gone, in_use=in_use)

    def locked(self, op: Op) -> AbstractContextManager[None]:
        from vagrantish.locks import hold

        return hold(self._home.locks / "store.lock", what="the box store", op=op)

    def keep(self, staged: Iterable[Staged]) -> None:
        """Move staged artifacts into the store; the caller holds the lock. Raises HostError."""
        from vagrantish.files import host_errors, make_dir, sync_dir

        for item in staged:
            target = boxfile.artifact_path(self._home, item.digest)
            make_dir(target.parent)
            with host_errors(f"write {target}"):
                # Also over one that is there: its size is all that was looked at since it came.
                item.path.chmod(0o444)
                os.replace(item.path, target)
                sync_dir(target.parent)

    def _collect(self, *, at_once: Collection[str], in_use: Collection[str]) -> None:
        """Delete artifacts no box and no machine needs; the caller holds the lock.

        Those not in ``at_once`` get an hour's grace. Nothing goes while a record is damaged.
        """
        try:
            needed = {
                str(artifact.digest) for box in self.list() for artifact in box.artifacts.values()
            }
        except BoxError:
            return
        from vagrantish.files import host_errors

        needed |= set(in_use)
        now = time.time()
        for algorithm in _folders(self._home.artifacts):
            for path in algorithm.iterdir():
                digest = f"{algorithm.name}:{path.name}"
                if digest in needed:
                    continue
                with host_errors(f"remove {path}"):
                    if digest in at_once or now - path.stat().st_mtime > _ORPHAN_GRACE_S:
                        path.unlink()

    def _publish(self, box: Box, staged: Iterable[Staged], *, force: bool, op: Op) -> Box:
        from vagrantish.files import make_dir, write_atomic

        with self.locked(op):
            record = self._record(box.name, box.version, box.arch)
            try:
                there = boxfile.read(record, self._home)
            except BoxError:
                if not force:
                    raise
                there = None
            if there is not None and not force and not _same(there[0], box):
                raise BoxError(
                    f"{box.label} is already in the store, and this one differs",
                    hint="Replace it with --force, or add this one under another --version.",
                )
            self.keep(staged)
            if there is None or not _same(there[0], box):
                make_dir(record.parent)
                write_atomic(record, boxfile.encode(box, added_at=time.time()), mode=0o444)
            return box

    def _record(self, name: str, version: str, arch: str) -> Path:
        return self._home.boxes / name / version / arch / boxfile.FILE_NAME

    def _records(self) -> Iterator[Path]:
        for name in _folders(self._home.boxes):
            for version in _folders(name):
                for arch in _folders(version):
                    yield arch / boxfile.FILE_NAME

    def _versions(self, name: str, arch: str) -> tuple[str, ...]:
        return tuple(
            version.name
            for version in _folders(self._home.boxes / name)
            if (version / arch / boxfile.FILE_NAME).exists()
        )

    def _only_version(self, ref: BoxRef, arch: str) -> str:
        versions = self._versions(ref.name, arch)
        if not versions:
            raise self._not_found(ref, arch)
        if len(versions) > 1:
            raise BoxError(
                f"the store has {len(versions)} versions of {ref.name}: {', '.join(versions)}",
                hint=f"Say which: `vx box remove {ref.name}@{versions[0]}`.",
            )
        return versions[0]

    def _not_found(self, ref: BoxRef, arch: str) -> BoxNotFound:
        versions = self._versions(ref.name, arch)
        if versions:
            return BoxNotFound(
                f"there is no box {ref} in the store; of {ref.name} it has {', '.join(versions)}",
                hint=f'Write "{ref.name}@{versions[-1]}", or add that version with `vx box add`.',
            )
        others = sorted({path.parent.name for path in self._records() if _is_of(path, ref.name)})
        if others:
            return BoxNotFound(
                f"the store has {ref.name} for {', '.join(others)}, not for {arch}",
                hint="Add it for this architecture with `vx box add`.",
            )
        known = [folder.name for folder in _folders(self._home.boxes)]
        if ref.name == "micro":
            return BoxNotFound(
                f"there is no box {ref} in the store", hint="Build it: `vx box build micro`."
            )
        import difflib

        close = difflib.get_close_matches(ref.name, [*known, "micro"], n=1)
        maybe = f'Did you mean "{close[0]}"? ' if close else ""
        return BoxNotFound(
            f"there is no box {ref} in the store",
            hint=f"{maybe}Add one with `vx box add PATH`, or build one with `vx box build micro`.",
        )


def _is_of(record: Path, name: str) -> bool:
    return record.parent.parent.parent.name == name and record.exists()


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _same(one: Box, other: Box) -> bool:
    return replace(one, origin="") == replace(other, origin="")


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _check_sizes(box: Box) -> None:
    for kind, artifact in box.artifacts.items():
        size = _size_of(artifact.path)
        if size != artifact.size_bytes:
            what = "is gone from the store" if size is None else "is damaged in the store"
            again = (
                "`vx box build micro --force`" if box.name == "micro" else "`vx box add --force`"
            )
            raise BoxError(
                f"the {kind} of {box.label} {what}: {artifact.path}",
                hint=f"Put it back with {again}.",
            )


def _digests_in(record: Path, home: VxHome) -> set[str]:
    """The artifacts a record names; none when it is too damaged to say."""
    try:
        entry = boxfile.read(record, home)
    except BoxError:
        return set()
    return {str(artifact.digest) for artifact in entry[0].artifacts.values()} if entry else set()
