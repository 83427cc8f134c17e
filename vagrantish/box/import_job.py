"""One ``vx box add``: what it is given, and what the user wants of it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.errors import BoxError, DigestMismatch, HostError
from vagrantish.files import host_errors
from vagrantish.model import Source
from vagrantish.units import format_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vagrantish.box.ingest import Staged
    from vagrantish.events import Op
    from vagrantish.fetch import Download
    from vagrantish.model import BootMode, BoxRef, Digest, Release, SeedKind
    from vagrantish.paths import VxHome

_FIRST_WORD = re.compile(r"[a-z]+")
_CHUNK = 1 << 20
_SPARE_BYTES = 16 << 20  # for records, and what a file system itself needs


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the command line says; None where it says nothing."""

    name: str | None = None
    version: str | None = None
    arch: str | None = None
    digest: Digest | None = None
    user: str | None = None
    seed: SeedKind | None = None
    cmdline: str | None = None
    provider: str | None = None  # of a Vagrant catalog
    boot: BootMode | None = None


@dataclass(frozen=True, kw_only=True)
class Given:
    """A file on this host, maybe a download, and what whoever named it says of the box in it."""

    path: Path
    said: str  # the path as the user gave it, or the URL
    label: str  # for people: the file's name, or the URL
    origin: str  # where the box will be said to be from
    url: str = ""  # "": not from the web
    download: Download | None = None  # that is at ``path``, or was until it was unpacked
    pinned: str = ""  # the digest that was promised for it
    unpacked: Staged | None = None  # what it held, where it was only compressed
    name: str = ""
    version: str = ""
    date: str = ""  # "20260712", of a file of the user's own
    description: str = ""

    @property
    def original(self) -> Path:
        """The file as it was given; ``path`` may be what it held."""
        return self.download.path if self.download else self.path

    @property
    def is_local(self) -> bool:
        return self.download is None

    def source(self, part: str, member: str = "") -> tuple[Source, ...]:
        """Where that part of the box came from; none when it was not the web."""
        if self.download is None:
            return ()
        fetched = self.download.fetched
        return (
            Source(part=part, url=self.url, fetched=fetched, member=member, pinned=self.pinned),
        )


@dataclass(frozen=True, kw_only=True)
class Job:
    home: VxHome
    folder: Path  # for staging
    wishes: Wishes
    # What catalogs know, None where that is nothing: how a file under that name is booted, and what
    # is published under it.
    settings: Callable[[BoxRef, str], Release | None]
    release: Callable[[BoxRef, str], Release | None]
    op: Op


def local(path: Path, said: str) -> Given:
    """Raises BoxError when there is no such file or folder."""
    try:
        modified = time.gmtime(path.stat().st_mtime)
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BoxError(f"cannot read {said}: {reason}") from error
    if not path.is_file() and not path.is_dir():
        # Opening a pipe would wait for its other end.
        raise BoxError(f"{said} is neither a file nor a folder")
    return Given(
        path=path,
        said=said,
        label=path.name or said,
        origin=str(path),
        date=time.strftime("%Y%m%d", modified),
    )


def check_digest(given: Given, wanted: Digest, op: Op) -> None:
    """Raises DigestMismatch, HostError."""
    if given.path.is_dir():
        raise BoxError(f"{given.label} is a folder, which has no digest")
    hasher = hashlib.new(wanted.algorithm)
    path = given.original
    with (
        op.step("box:check", f"Checking the digest of {given.label}") as step,
        host_errors(f"read {path}"),
        path.open("rb") as file,
    ):
        size = os.fstat(file.fileno()).st_size
        while chunk := file.read(_CHUNK):
            op.cancel.check()
            hasher.update(chunk)
            step.progress(file.tell(), size)
    if hasher.hexdigest() != wanted.hex:
        raise DigestMismatch(
            given.label,
            expected=str(wanted),
            actual=f"{wanted.algorithm}:{hasher.hexdigest()}",
            hint="Copy or download it again; if it was replaced on purpose, correct the digest.",
        )


def named(given: Given, wishes: Wishes, like: str = "", version: str = "") -> tuple[str, str]:
    """Name and version; ``like`` and ``version`` are what the bytes or their name suggest.

    Raises BoxError that proposes a name.
    """
    name = wishes.name or given.name
    if not name:
        word = _FIRST_WORD.match(given.said.rpartition("/")[2].lower())
        proposed = like or (word[0] if word else "mine")
        example = shlex.join(["vx", "box", "add", given.said, "--name", proposed])
        raise BoxError(
            f"{given.label} does not say what the box is to be called",
            hint=f"Name it: `{example}`.",
        )
    return name, given.version or wishes.version or version or given.date or "1"


def check_space(folder: Path, needed_bytes: int, what: str) -> None:
    """``needed_bytes`` is what surely will be written. Raises HostError."""
    with host_errors(f"look at {folder}"):
        found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free < needed_bytes + _SPARE_BYTES:
        raise HostError(
            f"{what} needs {format_size(needed_bytes)} in {folder.parent}, "
            f"and {format_size(free)} are free",
            hint="Free some space, or point VX_HOME at a bigger disk.",
        )
