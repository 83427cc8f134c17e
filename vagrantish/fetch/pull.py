"""Gets one URL into a partial download, with as many requests as it takes."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.errors import HostError
from vagrantish.fetch.blocks import in_blocks
from vagrantish.fetch.partial import Meta, key_of
from vagrantish.fetch.pipes import Incoming
from vagrantish.fetch.transport import Trouble
from vagrantish.files import host_errors
from vagrantish.formats.sniff import HEAD_BYTES, describe
from vagrantish.units import format_size
from vagrantish.urls import shown

if TYPE_CHECKING:
    from vagrantish.events import Step
    from vagrantish.fetch.blocks import Haste
    from vagrantish.fetch.partial import Partial
    from vagrantish.fetch.pipeline import Pipeline
    from vagrantish.fetch.transport import Answer, Transport

_PROGRESS_MIN = 16 << 10  # a try that brings less has got no further
_TELL_EVERY_S = 0.05
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')
_DATE = re.compile(r"[A-Za-z0-9:, +-]{10,40}")
_OTHER_PART = "the server answers with another part than it was asked for"


@dataclass(frozen=True, kw_only=True)
class Limits:
    max_bytes: int
    size_bytes: int | None  # as promised
    pinned: bool  # a digest tells afterwards whether the bytes are right


class Pull:
    """One URL. ``mixed``: whether the bytes come from more than one answer."""

    def __init__(
        self,
        url: str,
        *,
        transport: Transport,
        partial: Partial,
        pipeline: Pipeline,
        limits: Limits,
        haste: Haste,
        step: Step,
    ) -> None:
        self._url = url
        self._transport = transport
        self._partial = partial
        self._pipeline = pipeline
        self._limits = limits
        self._haste = haste
        self._step = step
        self._cancel = step.op.cancel
        self._meta = partial.meta()
        self._ranges = True  # until this server lies about them
        self._splits = True  # until it does not like several connections
        self._restarts = 0
        self._told_at = 0.0
        self.mixed = pipeline.size > 0

    def run(self) -> None:
        """Until the file is whole. Raises Trouble, HostError, Cancelled, what a sink raises."""
        patience = self._transport.patience
        failed = 0
        while True:
            before, restarts = self._pipeline.size, self._restarts
            try:
                self._once()
                return
            except Trouble as trouble:
                if not trouble.passing or self._restarts > patience.tries:
                    raise
                gained = self._pipeline.size - before
                further = self._restarts == restarts and gained >= _PROGRESS_MIN
                failed = 0 if further else failed + 1
                if failed >= patience.tries:
                    raise
                if failed:
                    self._cancel.sleep(patience.wait_s(failed, trouble.wait_s))

    def run_whole(self) -> None:
        """The same, from the start and in one answer."""
        self._ranges = False
        self._pipeline.restart()
        self.run()

    def _once(self) -> None:
        """One request, or several at once."""
        if self._pipeline.size and not self._may_go_on():
            self._restart()
        start = self._pipeline.size
        wanted = f"bytes={start}-" if start else ""
        incoming = Incoming(lambda: self._ask(wanted))
        try:
            answer = incoming.answer(self._cancel)
            if answer.status == 416:
                self._past_the_end(answer, start)
                return
            total = self._accept(answer, start)
            self._check_size(total, incoming)
            self._check_room(total)
            self._meta = Meta(url_key=key_of(self._url), validator=_validator(answer), total=total)
            self._partial.save_meta(self._meta)
            split = self._take(incoming, total, may_split=self._may_split(answer, total))
        finally:
            incoming.close()
        if split and total is not None:
            self._take_in_blocks(total)
        whole = total if total is not None else self._limits.size_bytes
        if whole is not None and self._pipeline.size < whole:
            raise Trouble(f"it ended after {self._pipeline.size} of {whole} bytes", passing=True)

    def _ask(self, wanted: str) -> Answer:
        headers = {"Range": wanted} if wanted else {}
        if wanted and self._is_known and self._meta.validator:
            headers["If-Range"] = self._meta.validator
        return self._transport.ask(self._url, headers, plain_ok=self._limits.pinned)

    @property
    def _is_known(self) -> bool:
        """Whether what is known of the file comes from this very URL."""
        return self._meta.url_key == key_of(self._url)

    def _may_go_on(self) -> bool:
        """Whether more of the same file can be asked for, or a digest will tell."""
        return self._ranges and (
            self._limits.pinned or (self._is_known and bool(self._meta.validator))
        )

    def _restart(self) -> None:
        self._restarts += 1
        self._pipeline.restart()

    def _start_over(self, why: str) -> None:
        self._ranges = False
        self._restart()
        raise Trouble(why, passing=True)

    # --- the answer ----------------------------------------------------------------------------

    def _past_the_end(self, answer: Answer, start: int) -> None:
        """416: right when all of it is here; else another file lies there now."""
        if not start or answer.content_range[2] != start:
            self._start_over("it has another size than before")
        self._check_total(start)

    def _accept(self, answer: Answer, start: int) -> int | None:
        """The file's whole size, None when it is not said."""
        if answer.status == 206:
            first, _, total = answer.content_range
            known = self._meta.total if self._is_known else None
            if not start or first != start or (known and total and known != total):
                self._start_over(_OTHER_PART)
            self.mixed = True
            return total
        if start:
            self._restart()
        self.mixed = False
        return answer.length

    def _check_size(self, total: int | None, incoming: Incoming) -> None:
        if total is None:
            return
        if total != (self._limits.size_bytes or total):
            head = next(incoming.pieces(self._cancel), b"")[:HEAD_BYTES]
            raise Trouble(
                f"it has {total} bytes instead of {self._limits.size_bytes}, "
                f"and is {describe(head)}"
            )
        self._check_total(total)

    def _check_total(self, total: int) -> None:
        if total > self._limits.max_bytes:
            raise self._too_big()

    def _too_big(self) -> Trouble:
        return Trouble(
            f"it is bigger than the {format_size(self._limits.max_bytes)} allowed for it"
        )

    def _check_room(self, total: int | None) -> None:
        folder = self._partial.part.parent
        with host_errors(f"look at {folder}"):
            free = shutil.disk_usage(folder).free
        missing = (total or 0) - self._pipeline.size
        if missing > free:
            raise HostError(
                f"{shown(self._url)} needs {format_size(missing)} more in {folder}, "
                f"and {format_size(free)} are free",
                hint="Free some space, or point VX_HOME at a bigger disk; "
                "then run the same command again.",
            )

    # --- the bytes -----------------------------------------------------------------------------

    def _may_split(self, answer: Answer, total: int | None) -> bool:
        return (
            self._splits
            and self._may_go_on()
            and total is not None
            and total - self._pipeline.size >= self._haste.worth_bytes
            and (answer.status == 206 or answer.header("Accept-Ranges").lower() == "bytes")
        )

    def _take(self, incoming: Incoming, total: int | None, *, may_split: bool) -> bool:
        """True when it stopped, because several requests at once may be faster."""
        self._tell(total, last=True)
        watch = self._haste.watch()
        for data in incoming.pieces(self._cancel):
            self._write(data, total)
            if may_split and watch.is_slow(len(data)):
                return self._pipeline.size < (total or 0)
        self._tell(total, last=True)
        return False

    def _take_in_blocks(self, total: int) -> None:
        self.mixed = True

        def ask(first: int, last: int) -> Answer:
            return self._ask(f"bytes={first}-{last}")

        try:
            for data in in_blocks(ask, self._pipeline.size, total, self._haste, self._cancel):
                self._write(data, total)
        except Trouble as trouble:
            self._splits = False
            raise Trouble(trouble.why, passing=True) from trouble
        self._tell(total, last=True)

    def _write(self, data: bytes, total: int | None) -> None:
        end = self._pipeline.size + len(data)
        if end > (self._limits.size_bytes or self._limits.max_bytes):
            raise self._too_big()
        if total is not None and end > total:
            raise Trouble("the server sent more than it said", passing=True)
        self._pipeline.write(data)
        self._tell(total)

    def _tell(self, total: int | None, *, last: bool = False) -> None:
        now = time.monotonic()
        if last or now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            self._step.progress(self._pipeline.size, total or self._limits.size_bytes)


def _validator(answer: Answer) -> str:
    """What If-Range may carry: a strong ETag, else the date (RFC 9110, 13.1.5)."""
    etag, date = answer.header("ETag"), answer.header("Last-Modified")
    if _STRONG_ETAG.fullmatch(etag):
        return etag
    return date if _DATE.fullmatch(date) else ""
