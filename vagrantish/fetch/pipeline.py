"""Where the bytes go while they arrive: onto the disk, through the hashes, and to a sink."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Protocol

from vagrantish.fetch.pipes import Feed
from vagrantish.files import host_errors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vagrantish.events import Cancel

_PIECE = 1 << 20


class Sink(Protocol):
    """Gets a file's bytes in order while they arrive, a decompressor say.

    What it raises stops the download and goes through to the caller.
    """

    def begin(self) -> None:
        """From byte 0; also once more, and what came before is to be dropped then."""

    def write(self, data: bytes) -> None: ...


class Pipeline:
    """Writing, each hash and the sink run in threads of their own, beside the network.

    Call ``replay`` or ``restart`` first. Close it, whatever happens: what lies on the disk then is
    a start of the file.
    """

    def __init__(self, path: Path, algorithms: Sequence[str], sink: Sink | None) -> None:
        self._path = path
        self._algorithms = algorithms
        self._sink = sink
        self._takers: list[Feed] = []
        self._writer: Feed | None = None
        self._written = 0
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
            for feed in self._takers:
                feed.put(data)
            offset += len(data)
        self.size = self._written = offset

    def restart(self) -> None:
        """From byte 0. Raises HostError."""
        self._begin()
        with host_errors(f"write {self._path}"):
            os.ftruncate(self._descriptor, 0)
        self.size = self._written = 0

    def write(self, data: bytes) -> None:
        """Raises HostError, and what the sink raises."""
        assert self._writer is not None, "replay or restart comes first"
        for feed in self._takers:
            feed.put(data)
        self._writer.put(data)
        self.size += len(data)

    def finish(self) -> dict[str, str]:
        """All is taken: the digests, hex by algorithm."""
        feeds = [*self._takers, self._writer]
        self._takers, self._writer = [], None
        for feed in feeds:
            if feed is not None:
                feed.drain()
        return {name: hasher.hexdigest() for name, hasher in self._hashers.items()}

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
            self._takers.append(Feed(self._sink.write))
        self._writer = Feed(self._save)

    def _stop(self) -> None:
        for feed in self._takers:
            feed.stop()
        if self._writer is not None:
            self._writer.stop()  # what has come is written, for the next time
        self._takers, self._writer = [], None

    def _save(self, data: bytes) -> None:
        with host_errors(f"write {self._path}"):
            view = memoryview(data)
            while view:
                count = os.pwrite(self._descriptor, view, self._written)
                self._written += count
                view = view[count:]
