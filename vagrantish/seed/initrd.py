"""Appends a machine's overlay to its box's initrd; the box's own file is never changed."""

from __future__ import annotations

import gzip
import os
import uuid
from typing import TYPE_CHECKING

from vagrantish.files import clone, host_errors
from vagrantish.formats import cpio

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def write_initrd(box_initrd: Path | None, entries: Iterable[cpio.Entry], target: Path) -> None:
    """Replace ``target`` whole by the box's initrd and one more segment. Raises HostError.

    Later segments win, so it goes last; it is compressed, since a plain one off by a byte is
    dropped by the kernel without a word.
    """
    staged = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        if box_initrd is not None:
            clone(box_initrd, staged)
        with host_errors(f"write {target}"):
            if box_initrd is not None:
                staged.chmod(0o600)
            descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                size = os.fstat(file.fileno()).st_size
                file.write(b"\0" * (-size % 4) + segment(entries))
            os.replace(staged, target)
    finally:
        staged.unlink(missing_ok=True)


def segment(entries: Iterable[cpio.Entry]) -> bytes:
    """The entries and all folders above them, compressed; the same entries give the same bytes."""
    data = gzip.compress(cpio.archive(cpio.with_parents(entries)), 6, mtime=0)
    return data + b"\0" * (-len(data) % 4)
