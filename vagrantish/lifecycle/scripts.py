"""Provisioning scripts from the web, kept by digest once they were fetched."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from vagrantish.errors import BoxError
from vagrantish.files import make_dir

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.events import Op
    from vagrantish.model import Digest
    from vagrantish.paths import VxHome

MAX_BYTES = 8 << 20


def get(home: VxHome, url: str, digest: Digest, *, op: Op) -> bytes:
    """The script, from the network only the first time. Raises FetchError, DigestMismatch,
    HostError.
    """
    kept = home.scripts / digest.algorithm / digest.hex
    script = _read(kept, digest)
    if script is not None:
        return script
    from vagrantish.fetch import fetch

    make_dir(kept.parent)
    fetch(url, digest=digest, target=kept, max_bytes=MAX_BYTES, home=home, op=op)
    script = _read(kept, digest)
    if script is None:
        raise BoxError(f"{kept} was changed while it was being fetched", hint="Try again.")
    return script


def _read(path: Path, digest: Digest) -> bytes | None:
    """None also for what is not the script any more."""
    try:
        script = path.read_bytes()
    except OSError:
        return None
    return script if hashlib.new(digest.algorithm, script).hexdigest() == digest.hex else None
