"""The boxes of this home: complete or absent, their artifacts kept once each by digest."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.box import boxfile, missing, reference, versions
from vagrantish.box.boxfile import folders, records
from vagrantish.errors import BoxError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any

    from vagrantish.box.ingest import Staged, StagedExtension
    from vagrantish.events import Op
    from vagrantish.model import Box, BoxParts, BoxRef, Release
    from vagrantish.paths import VxHome


class BoxStore:
    def __init__(self, home: VxHome) -> None:
        self._home = home

    def get(self, ref: BoxRef, arch: str) -> Box | None:
        """The newest box whose version is ``ref``'s or below it; without one the one added last.

        None when there is none.

        Looks at sizes, not at bytes: those were checked when they came in. Raises BoxError when
        one of its files is gone or cut short.
        """
        candidates = [
            entry
            for folder in folders(self._home.boxes / ref.name)
            if ref.version is None or versions.matches(folder.name, ref.version)
            if (entry := boxfile.read(folder / arch / boxfile.FILE_NAME, self._home))
        ]
        if not candidates:
            return None
        if ref.version is None:
            box, _ = max(candidates, key=lambda entry: (entry[1], entry[0].version))
        else:
            box, _ = max(
                candidates,
                key=lambda entry: (entry[0].version == ref.version, versions.key(entry[0].version)),
            )
        missing.check_sizes(box)
        return box

    def find(self, ref: BoxRef, arch: str) -> Box:
        """Raises BoxNotFound with what comes close; BoxError as `get` does."""
        box = self.get(ref, arch)
        if box is None:
            raise missing.not_found(self._home, ref, arch)
        return box

    def has(self, name: str) -> bool:
        """Whether there is any version of it, for any architecture."""
        return (self._home.boxes / name).is_dir()

    def list(self) -> tuple[Box, ...]:
        """By name, then in the order they were added. Raises BoxError for a damaged record."""
        entries = [
            entry
            for path in records(self._home)
            if (entry := boxfile.read(path, self._home)) is not None
        ]
        entries.sort(key=lambda entry: (entry[0].name, entry[1], entry[0].version, entry[0].arch))
        return tuple(box for box, _ in entries)

    def defaults_of(self, ref: BoxRef, arch: str = "") -> tuple[str, Mapping[str, Any]] | None:
        """The box's own layer of settings and the name to show for it; None without such a box."""
        box = self.get(ref, arch or reference.host_arch())
        return (f"box {box.label}", box.settings) if box else None

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
            return self.publish(box, staged, force=force, op=op)

    def adopt(self, parts: BoxParts, *, op: Op) -> Box:
        """The box made of the Xhyvefile's own files, each copied into the store the first time.

        Raises BoxError, FetchError, DigestMismatch, HostError.
        """
        from vagrantish.box.adopting import adopt

        return adopt(self, self._home, parts, op=op)

    def obtain(self, release: Release, *, force: bool = False, op: Op) -> Box:
        """Fetch, check and keep a published box; one that is there is answered as it is.

        Raises BoxError, FetchError, DigestMismatch, HostError; what was downloaded is kept for
        the next try.
        """
        from vagrantish.box.obtaining import obtain

        return obtain(self, self._home, release, force=force, op=op)

    def remove(self, ref: BoxRef, arch: str, *, in_use: Collection[str], op: Op) -> None:
        """Take the box out, and the artifacts nothing needs any more.

        ``ref`` names one version unless the store has only one. ``in_use`` holds the digests of
        artifacts machines need: those stay. Raises BoxNotFound, BoxError, HostError.
        """
        from vagrantish.box import upkeep

        with self.locked(op):
            record = self._record(ref.name, ref.version or self._only_version(ref, arch), arch)
            if not record.exists():
                raise missing.not_found(self._home, ref, arch)
            gone = upkeep.digests_in(record, self._home)
            upkeep.drop_record(record)
            upkeep.collect(self._home, self.list, at_once=gone, in_use=in_use)

    def used(self, box: Box) -> None:
        """Note that the box is in use now: `vx box prune` goes by it. A home that cannot be
        written does not mind.
        """
        if box.name:
            with suppress(OSError):
                os.utime(self._record(box.name, box.version, box.arch))

    def locked(self, op: Op) -> AbstractContextManager[None]:
        from vagrantish.locks import hold

        return hold(self._home.locks / "store.lock", what="the box store", op=op)

    def keep(self, staged: Iterable[Staged | StagedExtension]) -> None:
        """Move staged artifacts into the store; the caller holds the lock. Raises HostError."""
        from vagrantish.files import host_errors, make_dir, move, sync_dir

        for item in staged:
            target = boxfile.artifact_path(self._home, item.digest)
            make_dir(target.parent)
            with host_errors(f"write {target}"):
                # Also over one that is there: its size is all that was looked at since it came.
                item.path.chmod(0o444)
                move(item.path, target)
                sync_dir(target.parent)

    def publish(
        self, box: Box, staged: Iterable[Staged | StagedExtension], *, force: bool, op: Op
    ) -> Box:
        """Move a staged box into the store, whole.

        Raises BoxError when it can boot nowhere or a different one is there, HostError.
        """
        from vagrantish.box import fit
        from vagrantish.files import make_dir, write_atomic

        staged = tuple(staged)
        fit.check_box(box, staged, op)
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

    def _only_version(self, ref: BoxRef, arch: str) -> str:
        known = missing.versions_of(self._home, ref.name, arch)
        if not known:
            raise missing.not_found(self._home, ref, arch)
        if len(known) > 1:
            raise BoxError(
                f"the store has {len(known)} versions of {ref.name}: {', '.join(known)}",
                hint=f"Say which: `vx box remove {ref.name}@{known[0]}`.",
            )
        return known[0]


def _same(one: Box, other: Box) -> bool:
    return replace(one, origin="") == replace(other, origin="")
