"""One download under its lock: continued, tried at each mirror, and compared with its promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish import urls
from vagrantish.errors import BoxError, DigestMismatch, FetchError, HostError
from vagrantish.fetch.partial import key_of
from vagrantish.fetch.pipeline import Pipeline
from vagrantish.fetch.pull import Limits, Pull
from vagrantish.fetch.transport import Trouble
from vagrantish.formats.sniff import HEAD_BYTES, describe
from vagrantish.model import Fetched

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.events import Step
    from vagrantish.fetch.blocks import Haste
    from vagrantish.fetch.partial import Partial
    from vagrantish.fetch.pipeline import Sink
    from vagrantish.fetch.promise import Promise
    from vagrantish.fetch.transport import Transport
    from vagrantish.model import Remote

_OTHER_BYTES = (
    "What came is {looks}. If the file was replaced on purpose, correct its digest; "
    "else a mirror or a proxy gave something else."
)
_KEPT = " What has come so far is kept."


class Getting:
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

    def run(self, sink: Sink | None, *, since: float | None) -> tuple[Path, Fetched]:
        adopted = self._partial.adopt(since=since)
        if not adopted and not self._may_go_on():
            self._partial.drop()
        algorithms = (
            {"sha256", self._promised.digest.algorithm} if self._promised.digest else {"sha256"}
        )
        pipeline = Pipeline(
            self._partial.part, sorted(algorithms), sink, pinned=self._limits.pinned
        )
        try:
            url, digests = self._get(pipeline, adopted=adopted)
            pipeline.check_sink()
            size = pipeline.size
        except HostError as error:
            if not pipeline.size:
                raise
            raise HostError(error.message, hint=f"{error.hint}{_KEPT}".strip()) from error
        finally:
            pipeline.close()
            if pipeline.spoiled:
                self._partial.drop()
        verified = self._verified()
        fetched = Fetched(url=url, sha256=digests["sha256"], size_bytes=size, verified=verified)
        return self._partial.finish(), fetched

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
    hint = (hints[0] if hints else urls.CHECK_URL) + (_KEPT if kept else "")
    if len(failures) == 1:
        return FetchError(f"cannot fetch {failures[0][0]}: {_why(failures[0][1])}", hint=hint)
    said = "".join(f"\n  {url}: {_why(failure)}" for url, failure in failures)
    return FetchError(f"none of {len(failures)} places gives the file:{said}", hint=hint)


def _why(failure: Trouble | DigestMismatch) -> str:
    if isinstance(failure, Trouble):
        return failure.why
    return f"it is not the promised file: expected {failure.expected}, got {failure.actual}"
