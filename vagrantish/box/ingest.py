"""Takes bytes in: copied sparse, counted, their digest taken on the way."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vagrantish.box import checks
from vagrantish.errors import BoxError, DigestMismatch
from vagrantish.files import host_errors
from vagrantish.model import Digest

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.events import Step
    from vagrantish.model import ArtifactKind

_CHUNK = 1 << 20
_BLOCK = 1 << 16  # runs of zeros this long become holes
_ZEROS = bytes(_BLOCK)


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A file in a staging folder, not yet in the store."""

    kind: ArtifactKind
    path: Path
    digest: Digest  # its sha256
    size_bytes: int


def take(
    kind: ArtifactKind,
    content: Readable,
    target: Path,
    *,
    label: str,
    size_bytes: int | None,
    expected: Digest | None,
    step: Step,
) -> Staged:
    """Copy ``content`` to ``target``. ``label`` names it for people.

    Raises DigestMismatch, BoxError when it is too big, HostError; the caller drops the staging
    folder with what was written.
    """
    digests = {"sha256": hashlib.sha256()}
    if expected is not None:
        digests[expected.algorithm] = hashlib.new(expected.algorithm)
    limit = checks.size_limit(kind)
    total = 0
    with host_errors(f"write {target}"), target.open("xb") as file:
        while chunk := content.read(_CHUNK):
            step.op.cancel.check()
            total += len(chunk)
            if total > limit:
                raise BoxError(f"{label} is too big for a {kind}")
            for hasher in digests.values():
                hasher.update(chunk)
            _write_sparse(file.fileno(), chunk)
            step.progress(total, size_bytes)
        file.truncate(total)
        os.fsync(file.fileno())
    if expected is not None:
        actual = f"{expected.algorithm}:{digests[expected.algorithm].hexdigest()}"
        if actual != str(expected):
            raise DigestMismatch(
                label,
                expected=str(expected),
                actual=actual,
                hint="Copy or download it again; if it was replaced on purpose, "
                "correct the digest.",
            )
    digest = Digest(algorithm="sha256", hex=digests["sha256"].hexdigest())
    return Staged(kind=kind, path=target, digest=digest, size_bytes=total)


def _write_sparse(descriptor: int, chunk: bytes) -> None:
    for start in range(0, len(chunk), _BLOCK):
        block = chunk[start : start + _BLOCK]
        if block == _ZEROS[: len(block)]:
            os.lseek(descriptor, len(block), os.SEEK_CUR)
            continue
        view = memoryview(block)
        while view:
            view = view[os.write(descriptor, view) :]
