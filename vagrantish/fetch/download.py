"""From a Remote to a complete, verified file of its own, whoever else wants the same."""

from __future__ import annotations

import errno
import os
import time
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING

from vagrantish.errors import BoxError, DigestMismatch, FetchError, HostError
from vagrantish.fetch import promise, urls
from vagrantish.fetch.blocks import Haste
from vagrantish.fetch.partial import Partial, key_of
from vagrantish.fetch.pipeline import Pipeline
from vagrantish.fetch.pull import Limits, Pull
from vagrantish.fetch.transport import Transport, Trouble
from vagrantish.files import clone, host_errors
from vagrantish.formats.sniff import HEAD_BYTES, describe
from vagrantish.locks import hold
from vagrantish.model import Digest, Fetched, Remote

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from vagrantish.events import Op, Step
    from vagrantish.fetch.pipeline import Sink
    from vagrantish.fetch.promise import Promise
    from vagrantish.paths import VxHome

_CHECK_URL = "Check the URL and the network, then run the same command again."
_OTHER_BYTES = (
    "What came is {looks}. If the file was replaced on purpose, correct its digest; "
    "else a mirror or a proxy gave something else."
)
_KEY_DIGITS = 40  # as a name, with more behind it, has to fit 143 bytes on some file systems
_KEPT = " What has come so far is kept."


class Download:
    """A complete, verified file that is this caller's own, until it is taken or discarded."""

    def __init__(self, path: Path, fetched: Fetched) -> None:
        self.path = path
        self.fetched = fetched
        self._taken = False

    def take(self, target: Path) -> None:
        """Move it to ``target``, replacing what is there. Raises HostError."""
        with host_errors(f"write {target}"):
            try:
                os.replace(self.path, target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._carry(target)
        self.path = target
        self._taken = True

    def _carry(self, target: Path) -> None:
        """To another file system."""
        staged = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
        clone(self.path, staged)
        os.replace(staged, target)
        self.path.unlink()

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
        getting = _Getting(remote, promised, partial, transport, max_bytes, haste or Haste(), step)
        return getting.run(sink, since=None if promised.digest else began)


def _key(remote: Remote, promised: Promise) -> str:
    digest = promised.digest
    return (
        f"{digest.algorithm}-{digest.hex[:_KEY_DIGITS]}"
        if digest
        else f"url-{key_of(remote.urls[0])}"
    )


class _Getting:
    """One download under its lock."""

    def __init__(
        self,
        remote: Remote,
        promised: Promise,
        partial: Partial,
        transport: Transport,
        max_bytes: int,
        haste: Haste,
        step: Step,
    ) -> None:
        self._remote = remote
        self._promised = promised
        self._partial = partial
        self._transport = transport
        self._haste = haste
        self._step = step
        self._limits = Limits(
            max_bytes=max_bytes,
            size_bytes=remote.size_bytes,
            pinned=promised.digest is not None,
        )

    def run(self, sink: Sink | None, *, since: float | None) -> Download:
        adopted = self._partial.adopt(since=since)
        if not adopted and not self._may_go_on():
            self._partial.drop()
        algorithms = (
            {"sha256", self._promised.digest.algorithm} if self._promised.digest else {"sha256"}
        )
        pipeline = Pipeline(self._partial.part, sorted(algorithms), sink)
        try:
            url, digests = self._get(pipeline, adopted=adopted)
            size = pipeline.size
        except HostError as error:
            if not pipeline.size:
                raise
            raise HostError(error.message, hint=error.hint + _KEPT) from error
        finally:
            pipeline.close()
        verified = self._verified()
        fetched = Fetched(url=url, sha256=digests["sha256"], size_bytes=size, verified=verified)
        return Download(self._partial.finish(), fetched)

    def _may_go_on(self) -> bool:
        meta = self._partial.meta()
        same = meta.validator and meta.url_key in map(key_of, self._remote.urls)
        return self._limits.pinned or bool(same)

    def _verified(self) -> str:
        try:
            return self._promised.check_file(self._partial.part, urls.shown(self._remote.urls[0]))
        except BoxError:
            self._partial.drop()
            raise

    def _get(self, pipeline: Pipeline, *, adopted: bool) -> tuple[str, dict[str, str]]:
        """The URL that gave it, and its digests."""
        pipeline.replay(self._step.op.cancel)
        if adopted or (pipeline.size and pipeline.size == self._partial.meta().total):
            digests = pipeline.finish()
            if (adopted and not self._limits.pinned) or (
                self._limits.pinned and self._is_right(digests)
            ):
                self._step.outcome = "was here already"
                return self._remote.urls[0], digests
            pipeline.restart()
        failures: list[tuple[str, Trouble | DigestMismatch]] = []
        for url in self._remote.urls:
            try:
                return url, self._get_from(url, pipeline)
            except (Trouble, DigestMismatch) as failure:
                failures.append((urls.shown(url), failure))
        raise _failed(failures, kept=pipeline.size > 0)

    def _get_from(self, url: str, pipeline: Pipeline) -> dict[str, str]:
        pull = Pull(
            url,
            transport=self._transport,
            partial=self._partial,
            pipeline=pipeline,
            limits=self._limits,
            haste=self._haste,
            step=self._step,
        )
        pull.run()
        digests = pipeline.finish()
        if not self._is_right(digests) and pull.mixed:
            pull.run_whole()
            digests = pipeline.finish()
        if not self._is_right(digests):
            raise self._mismatch(url, pipeline, digests)
        return digests

    def _is_right(self, digests: dict[str, str]) -> bool:
        digest = self._promised.digest
        return digest is None or digests[digest.algorithm] == digest.hex

    def _mismatch(self, url: str, pipeline: Pipeline, digests: dict[str, str]) -> DigestMismatch:
        digest = self._promised.digest
        assert digest is not None
        looks = describe(pipeline.head(HEAD_BYTES))
        pipeline.restart()
        return DigestMismatch(
            urls.shown(url),
            expected=str(digest),
            actual=f"{digest.algorithm}:{digests[digest.algorithm]}",
            hint=_OTHER_BYTES.format(looks=looks),
        )


def _failed(
    failures: list[tuple[str, Trouble | DigestMismatch]], *, kept: bool
) -> FetchError | DigestMismatch:
    """One error of what each place said."""
    mismatches = [failure for _, failure in failures if isinstance(failure, DigestMismatch)]
    if len(mismatches) == len(failures):
        return mismatches[0]
    hints = [failure.hint for _, failure in failures if failure.hint]
    hint = (hints[0] if hints else _CHECK_URL) + (_KEPT if kept else "")
    if len(failures) == 1:
        return FetchError(f"cannot fetch {failures[0][0]}: {_why(failures[0][1])}", hint=hint)
    said = "".join(f"\n  {url}: {_why(failure)}" for url, failure in failures)
    return FetchError(f"none of {len(failures)} places gives the file:{said}", hint=hint)


def _why(failure: Trouble | DigestMismatch) -> str:
    if isinstance(failure, Trouble):
        return failure.why
    return f"it is not the promised file: expected {failure.expected}, got {failure.actual}"
