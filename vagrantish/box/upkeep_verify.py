"""Reads every artifact again, and names what is not as it came."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from vagrantish.box import boxfile, missing, upkeep, versions
from vagrantish.files import host_errors
from vagrantish.workers import gather

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from vagrantish.events import Op, Step
    from vagrantish.model import Box, BoxRef
    from vagrantish.paths import VxHome

_CHUNK = 1 << 20
_THREADS_MAX = 8


class Fault(StrEnum):
    MISSING = "missing"
    CHANGED = "changed"  # other bytes, or more or fewer
    UNREADABLE = "unreadable"
    WRITABLE = "writable"  # its mode lets somebody change it
    RECORD = "record"  # a box.json that cannot be used


@dataclass(frozen=True, kw_only=True)
class Finding:
    fault: Fault
    path: Path
    users: tuple[tuple[str, str], ...] = ()  # who needs it, and as what: ("tiny@1", "kernel")
    boxes: tuple[Box, ...] = ()  # those of the store among them
    expected: str = ""  # digests
    found: str = ""
    text: str = ""  # more, for people


@dataclass(frozen=True, kw_only=True)
class Report:
    files: int
    size_bytes: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class _File:
    path: Path
    digest: str
    size_bytes: int | None = None  # None: only its digest is known
    users: tuple[tuple[str, str], ...] = ()
    boxes: tuple[Box, ...] = field(default=(), compare=False)


def verify(
    home: VxHome,
    refs: Sequence[BoxRef],
    machines: Mapping[str, Sequence[tuple[str, str]]],
    *,
    op: Op,
) -> Report:
    """Look at the boxes in ``refs``; without any at all that is kept.

    ``machines`` tells by digest who else needs an artifact, and as what. Raises BoxNotFound,
    HostError, Cancelled.
    """
    files, findings = _wanted(home, refs, machines)
    work = sorted(files, key=lambda file: file.size_bytes or 0, reverse=True)
    total = sum(file.size_bytes or _size(file.path) for file in work)
    with op.step("box:verify", f"Reading {len(work)} files") as step:
        tally = _Tally(step, total)
        found = gather(
            [_task(file, tally) for file in work],
            at_once=min(_THREADS_MAX, os.cpu_count() or 1),
            op=op,
        )
        findings += [each for each in map(_still(home), filter(None, found)) if each is not None]
        step.outcome = f"read {len(work)} files, {len(findings)} not as they should be"
    return Report(
        files=len(work),
        size_bytes=tally.done,
        findings=tuple(sorted(findings, key=lambda each: (each.users, str(each.path)))),
    )


def _wanted(
    home: VxHome,
    refs: Sequence[BoxRef],
    machines: Mapping[str, Sequence[tuple[str, str]]],
) -> tuple[list[_File], list[Finding]]:
    boxes, damaged = upkeep.boxes_of(home)
    chosen = [box for box, _ in boxes if not refs or any(map(_is_of(box), refs))]
    records = [record for record in damaged if not refs or any(map(_is_at(home, record), refs))]
    for ref in refs:
        if not any(_is_of(box)(ref) for box in chosen) and not any(
            _is_at(home, record)(ref) for record in records
        ):
            from vagrantish.box.reference import host_arch

            raise missing.not_found(home, ref, host_arch())
    files: dict[str, _File] = {}
    for box in chosen:
        for part, item in box.files.items():
            digest = str(item.digest)
            file = files.get(digest) or _File(
                path=item.path, digest=digest, size_bytes=item.size_bytes
            )
            label = f"{box.label} ({box.arch})"
            files[digest] = replace(
                file, users=(*file.users, (label, part)), boxes=(*file.boxes, box)
            )
    kept = {digest: path for path, digest in upkeep.artifacts(home)}
    for digest in {*kept, *machines} if not refs else ():
        path = kept.get(digest) or home.artifacts.joinpath(*digest.split(":", 1))
        file = files.get(digest) or _File(path=path, digest=digest)
        files[digest] = replace(file, users=(*file.users, *machines.get(digest, ())))
    findings = [
        Finding(
            fault=Fault.RECORD,
            path=record,
            users=((_label(record), "record"),),
            text=str(damaged[record]),
        )
        for record in records
    ]
    return list(files.values()), findings


def _is_of(box: Box) -> Callable[[BoxRef], bool]:
    return lambda ref: (
        box.name == ref.name and (not ref.version or versions.matches(box.version, ref.version))
    )


def _is_at(home: VxHome, record: Path) -> Callable[[BoxRef], bool]:
    name, version, _ = record.parent.relative_to(home.boxes).parts
    return lambda ref: (
        name == ref.name and (not ref.version or versions.matches(version, ref.version))
    )


def _label(record: Path) -> str:
    arch = record.parent
    return f"{arch.parent.parent.name}@{arch.parent.name} ({arch.name})"


class _Tally:
    """Bytes read, told from several threads."""

    def __init__(self, step: Step, total: int) -> None:
        self._step = step
        self._total = total
        self._lock = threading.Lock()
        self.done = 0

    def add(self, count: int) -> None:
        with self._lock:
            self.done += count
            self._step.progress(self.done, self._total)


def _task(file: _File, tally: _Tally) -> Callable[[Op], Finding | None]:
    return lambda op: _look_at(file, tally, op)


def _look_at(file: _File, tally: _Tally, op: Op) -> Finding | None:
    def wrong(fault: Fault, *, found: str = "", text: str = "") -> Finding:
        return Finding(
            fault=fault,
            path=file.path,
            users=file.users,
            boxes=file.boxes,
            expected=file.digest,
            found=found,
            text=text,
        )

    try:
        status = file.path.lstat()
        if not stat.S_ISREG(status.st_mode):
            return wrong(Fault.UNREADABLE, text="it is no file")
        found = f"{file.digest.partition(':')[0]}:{_digest(file, tally, op)}"
    except FileNotFoundError:
        return wrong(Fault.MISSING)
    except (OSError, ValueError) as error:
        return wrong(Fault.UNREADABLE, text=str(getattr(error, "strerror", None) or error))
    if found != file.digest or file.size_bytes not in (None, status.st_size):
        told = f"it has {status.st_size} bytes, and its record says {file.size_bytes}"
        return wrong(Fault.CHANGED, found=found, text=told if found == file.digest else "")
    if status.st_mode & 0o222:
        return wrong(Fault.WRITABLE, found=found, text=f"its mode is {status.st_mode & 0o777:03o}")
    return None


def _digest(file: _File, tally: _Tally, op: Op) -> str:
    """Raises OSError; ValueError for an algorithm nobody knows."""
    hasher = hashlib.new(file.digest.partition(":")[0])
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    with file.path.open("rb", buffering=0) as reader:
        while count := reader.readinto(buffer):
            op.cancel.check()
            hasher.update(view[:count])
            tally.add(count)
    return hasher.hexdigest()


def _still(home: VxHome) -> Callable[[Finding], Finding | None]:
    """Boxes that were removed while their files were read are not missed."""

    def look(finding: Finding) -> Finding | None:
        boxes = tuple(box for box in finding.boxes if _names(home, box, finding.expected))
        lost = {f"{box.label} ({box.arch})" for box in finding.boxes if box not in boxes}
        users = tuple(user for user in finding.users if user[0] not in lost)
        if not users and (lost or not finding.path.exists()):
            return None
        return replace(finding, boxes=boxes, users=users)

    return look


def _names(home: VxHome, box: Box, digest: str) -> bool:
    record = home.boxes.joinpath(box.name, box.version, box.arch) / boxfile.FILE_NAME
    return digest in upkeep.digests_in(record, home)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def allow_no_writing(findings: Sequence[Finding]) -> None:
    """Put modes right, where nothing else is wrong. Raises HostError."""
    for finding in findings:
        if finding.fault is Fault.WRITABLE:
            with host_errors(f"change the mode of {finding.path}"):
                finding.path.chmod(0o444)
