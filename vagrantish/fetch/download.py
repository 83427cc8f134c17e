"""From a Remote to a complete, verified file of its own, whoever else wants the same."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from vagrantish import urls
from vagrantish.errors import FetchError, HostError
from vagrantish.fetch import promise
from vagrantish.fetch.blocks import Haste
from vagrantish.fetch.getting import Getting
from vagrantish.fetch.partial import Partial, key_of
from vagrantish.fetch.transport import Transport
from vagrantish.files import host_errors, move, sync_file
from vagrantish.locks import hold
from vagrantish.model import Remote

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from vagrantish.events import Op
    from vagrantish.fetch.pipeline import Sink
    from vagrantish.fetch.promise import Promise
    from vagrantish.model import Digest, Fetched
    from vagrantish.paths import VxHome

_KEY_DIGITS = 40  # as a name, with more behind it, has to fit 143 bytes on some file systems


class Download:
    """A complete, verified file that is this caller's own, until it is taken or discarded."""

    def __init__(self, path: Path, fetched: Fetched) -> None:
        self.path = path
        self.fetched = fetched
        self._own = path
        self._taken = False

    def take(self, target: Path) -> None:
        """Move it to ``target``, replacing what is there, safe from a power cut. Raises HostError.

        Until then it need not be: what is found in a later run is hashed again.
        """
        with host_errors(f"write {target}"):
            sync_file(self.path)
        move(self.path, target)
        self.path = target
        self._taken = True

    def give_back(self) -> None:
        """What was taken did not serve after all, and is left for a later run, if it can be."""
        with suppress(OSError, HostError):
            if self._taken:
                self.path.chmod(0o644)  # who takes it may have made it read-only
                move(self.path, self._own)

    def discard(self) -> None:
        """Remove it, unless it was taken."""
        if not self._taken:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()


def fetch(
    url: str,
    *,
    digest: Digest,
    target: Path,
    max_bytes: int,
    home: VxHome,
    op: Op,
    transport: Transport | None = None,
) -> None:
    """Put what ``url`` gives at ``target``, whole and with ``digest``, or leave nothing there.

    Raises FetchError (also beyond ``max_bytes``), DigestMismatch, HostError, Cancelled.
    """
    remote = Remote(urls=(url,), digest=digest)
    with fetch_remote(
        remote, home=home, max_bytes=max_bytes, op=op, transport=transport
    ) as download:
        download.take(target)


def fetch_remote(
    remote: Remote,
    *,
    home: VxHome,
    max_bytes: int,
    op: Op,
    label: str = "",
    sink: Sink | None = None,
    name: str = "",
    transport: Transport | None = None,
    haste: Haste | None = None,
) -> Download:
    """Get and verify a file; what another vx has got of it is used, and what it is getting awaited.

    ``label`` is for people, ``name`` for programs that read events: the step is called
    ``fetch:NAME``. A ``transport`` of the caller's keeps its connections for the next file.
    Raises FetchError, DigestMismatch, BoxError (a bad signature, no usable checksum), HostError,
    Cancelled, and what the sink raises; the bytes that came are kept, unless they are wrong.
    """
    shown = [urls.checked(url) for url in remote.urls]
    if op.offline:
        raise FetchError(
            f"{shown[0]} is not here yet, and vx is offline",
            hint="Run the same command once without --offline (VX_OFFLINE).",
        )
    with ExitStack() as stack:
        if transport is None:
            transport = Transport()
            stack.callback(transport.close)
        step = stack.enter_context(
            op.step(f"fetch:{name}" if name else "fetch", f"Fetching {label or shown[0]}")
        )
        promised = promise.of(remote, transport=transport, home=home, op=op)
        partial = Partial(home.downloads, _key(remote, promised))
        began = time.time()
        with partial.wanted():
            what = f"the download of {label or shown[0]}"
            lock = home.locks / f"{_key(remote, promised)}.lock"
            stack.enter_context(hold(lock, what=what, op=op))
        partial.open()
        stack.callback(partial.close)
        getting = Getting(remote, promised, partial, transport, max_bytes, haste or Haste(), step)
        return Download(*getting.run(sink, since=None if promised.digest else began))


def _key(remote: Remote, promised: Promise) -> str:
    digest = promised.digest
    return (
        f"{digest.algorithm}-{digest.hex[:_KEY_DIGITS]}"
        if digest
        else f"url-{key_of(remote.urls[0])}"
    )
