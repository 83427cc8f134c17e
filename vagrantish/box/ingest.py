"""Takes bytes in: copied sparse, counted, their digest taken on the way."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vagrantish.box import checks
from vagrantish.errors import BoxError, DigestMismatch
from vagrantish.files import host_errors
from vagrantish.formats.sparse import SparseFile
from vagrantish.model import Digest

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.events import Step
    from vagrantish.model import ArtifactKind

_CHUNK = 1 << 20


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A file in a staging folder, not yet in the store."""

    kind: ArtifactKind
    path: Path
    digest: Digest  # its sha256
    size_bytes: int
    unpacked_bytes: int = 0  # what an initrd unpacks to, once that is checked


@dataclass(frozen=True, kw_only=True)
class StagedExtension:
    """The same of an extension."""

    name: str
    path: Path
    digest: Digest
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
    with host_errors(f"write {target}"), SparseFile(target) as file:
        while chunk := content.read(_CHUNK):
            step.op.cancel.check()
            total += len(chunk)
            if total > limit:
                raise BoxError(f"{label} is too big for a {kind}")
            for hasher in digests.values():
                hasher.update(chunk)
            file.write(chunk)
            step.progress(total, size_bytes)
        file.finish()
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
