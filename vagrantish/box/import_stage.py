"""Puts disk images into a staging folder, unpacked where they are compressed."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.box.archive import TOTAL_MAX
from vagrantish.box.import_job import check_space, named
from vagrantish.box.ingest import Staged, take
from vagrantish.errors import BoxError
from vagrantish.files import host_errors
from vagrantish.formats.unpack import Unpacked, UnpackError
from vagrantish.model import ArtifactKind, Digest

if TYPE_CHECKING:
    from vagrantish.box.import_job import Given, Job
    from vagrantish.box.ingest import Readable

_SECTOR = 512


def staged_image(given: Given, job: Job) -> Staged:
    """A disk image as it is: a download is moved, a file of the user's own copied.

    Raises BoxError, HostError.
    """
    target = job.folder / "disk"
    if given.download is not None:
        fetched = given.download.fetched
        given.download.take(target)
        digest = Digest(algorithm="sha256", hex=fetched.sha256)
        return Staged(
            kind=ArtifactKind.DISK, path=target, digest=digest, size_bytes=fetched.size_bytes
        )
    with host_errors(f"read {given.path}"), given.path.open("rb") as file:
        status = os.fstat(file.fileno())
        check_space(job.folder, min(status.st_blocks * _SECTOR, status.st_size), given.label)
        with job.op.step("box:copy", f"Copying {given.label}") as step:
            return take(
                ArtifactKind.DISK, file, target,
                label=given.label, size_bytes=status.st_size, expected=None, step=step,
            )  # fmt: skip


def unpacked(given: Given, job: Job) -> Given:
    """What a compressed file holds. Raises BoxError, HostError."""
    named(given, job.wishes)
    with host_errors(f"read {given.path}"), given.path.open("rb") as file:
        # What it unpacks to is not known before; it is not less.
        check_space(job.folder, os.fstat(file.fileno()).st_size, given.label)
        try:
            with job.op.step("box:unpack", f"Unpacking {given.label}") as step:
                staged = take(
                    ArtifactKind.DISK, _Bounded(Unpacked(file), given.label),
                    job.folder / "unpacked",
                    label=given.label, size_bytes=None, expected=None, step=step,
                )  # fmt: skip
        except UnpackError as error:
            raise BoxError(
                f"{given.label} cannot be unpacked: {error}", hint="Copy or download it again."
            ) from error
    return replace(given, path=staged.path, unpacked=staged)


class _Bounded:
    """Refuses what unpacks to more than any box does."""

    def __init__(self, source: Readable, label: str) -> None:
        self._source = source
        self._label = label
        self._left = TOTAL_MAX

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise BoxError(f"{self._label} would unpack to more than {TOTAL_MAX >> 30} GiB")
        return data
