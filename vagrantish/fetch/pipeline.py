"""Where the bytes go while they arrive: onto the disk, through the hashes, and to a sink."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from vagrantish.errors import HostError
from vagrantish.fetch.pipes import Feed
from vagrantish.files import host_errors
from vagrantish.formats.sparse import write_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vagrantish.events import Cancel

_PIECE = 1 << 20
_WRITE_OUT_EVERY = 8 << 20


class Sink(Protocol):
    """Gets a file's bytes in order while they arrive, a decompressor say.

    What it raises ends the download and goes through to the caller. Where a digest is pinned that
    waits until the bytes are known to be right: if not, they are what is wrong, and ``begin`` comes
    again with those of another mirror. An OSError or a HostError does not wait.
    """

    def begin(self) -> None:
        """From byte 0; also once more, and what came before is to be dropped then."""

    def write(self, data: bytes) -> None: ...

    @property
    def keeps(self) -> bool:
        """Whether it keeps all there is in the bytes, so that they will not be needed."""


class Pipeline:
    """Writing, each hash and the sink run in threads of their own, beside the network.

    Call ``replay`` or ``restart`` first. Close it, whatever happens: what lies on the disk then is
    a start of the file.
    """

    def __init__(
        self, path: Path, algorithms: Sequence[str], sink: Sink | None, *, pinned: bool
    ) -> None:
        self._path = path
        self._algorithms = algorithms
        self._sink = sink
        self._pinned = pinned
        self._takers: list[Feed] = []
        self._sinking: Feed | None = None
        self._sink_error: Exception | None = None
        self.spoiled = False  # the sink does not like the bytes, and nothing says they are right
        self._writer: Feed | None = None
        self._written = self._written_out = 0
        with host_errors(f"write {path}"):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self.size = os.fstat(self._descriptor).st_size
        self._hashers = {name: hashlib.new(name) for name in algorithms}

    def replay(self, cancel: Cancel) -> None:
        """Take what lies on the disk as if it had just come. Raises HostError, Cancelled."""
        self._begin()
        offset = 0
        while offset < self.size:
            cancel.check()
            with host_errors(f"read {self._path}"):
                data = os.pread(self._descriptor, _PIECE, offset)
            if not data:
                break
            self._hand_out(data)
            offset += len(data)
        self.size = self._written = self._written_out = offset

    def restart(self) -> None:
        """From byte 0. Raises HostError."""
        self._begin()
        with host_errors(f"write {self._path}"):
            os.ftruncate(self._descriptor, 0)
        self.size = self._written = self._written_out = 0

    def write(self, data: bytes) -> None:
        """Raises HostError, and what the sink raises."""
        assert self._writer is not None, "replay or restart comes first"
        self._hand_out(data)
        self._writer.put(data)
        self.size += len(data)

    def finish(self) -> dict[str, str]:
        """All is taken: the digests, hex by algorithm. What a sink raised waits for `check_sink`."""
        feeds = [*self._takers, *([self._writer] if self._writer else [])]
        self._takers, self._writer = [], None
        for feed in feeds:
            feed.drain()
        sinking, self._sinking = self._sinking, None
        if sinking is not None:
            with self._sink_errors():
                sinking.drain()
        return {name: hasher.hexdigest() for name, hasher in self._hashers.items()}

    def check_sink(self) -> None:
        """The bytes are right: raises what the sink raised for them."""
        if self._sink_error is not None:
            raise self._sink_error

    def head(self, length: int) -> bytes:
        return os.pread(self._descriptor, length, 0)

    def close(self) -> None:
        self._stop()
        os.close(self._descriptor)

    def _begin(self) -> None:
        self._stop()
        self._hashers = {name: hashlib.new(name) for name in self._algorithms}
        self._takers = [Feed(hasher.update) for hasher in self._hashers.values()]
        if self._sink is not None:
            self._sink.begin()
            self._sinking = Feed(self._sink.write)
        self._writer = Feed(self._save)

    def _hand_out(self, data: bytes) -> None:
        for feed in self._takers:
            feed.put(data)
        if self._sinking is not None:
            with self._sink_errors():
                self._sinking.put(data)

    @contextmanager
    def _sink_errors(self) -> Iterator[None]:
        try:
            yield
        except (HostError, OSError):
            raise
        except Exception as error:
            if not self._pinned:
                self.spoiled = True
                raise
            self._sink_error = error
            if self._sinking is not None:
                self._sinking.stop()
                self._sinking = None

    def _stop(self) -> None:
        # The writer too: what has come is written, for the next time.
        for feed in (*self._takers, self._sinking, self._writer):
            if feed is not None:
                feed.stop()
        self._takers, self._sinking, self._writer = [], None, None
        self._sink_error = None

    def _save(self, data: bytes) -> None:
        with host_errors(f"write {self._path}"):
            view = memoryview(data)
            while view:
                count = os.pwrite(self._descriptor, view, self._written)
                self._written += count
                view = view[count:]
            if self._written - self._written_out >= _WRITE_OUT_EVERY:
                if self._sink is None or not self._sink.keeps:
                    write_out(self._descriptor, self._written_out, self._written)
                self._written_out = self._written
