"""One download of a box: fetched once, whatever number of its files lie in it."""

from __future__ import annotations

import hashlib
import posixpath
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vagrantish.box import members
from vagrantish.box.ingest import Staged, StagedExtension, take
from vagrantish.errors import BoxError
from vagrantish.files import host_errors
from vagrantish.formats import sniff, unpack
from vagrantish.formats.sparse import SparseFile
from vagrantish.model import Digest
from vagrantish.units import format_size

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.events import Op
    from vagrantish.fetch import Download
    from vagrantish.fetch.pipes import Feed
    from vagrantish.model import ArtifactKind, Fetched, Remote
    from vagrantish.paths import VxHome


class Intake:
    """``fetch`` first; then ``staged`` for each thing that is in it."""

    def __init__(
        self, remote: Remote, *, home: VxHome, folder: Path, max_bytes: int, name: str
    ) -> None:
        self._remote = remote
        self._name = name  # for programs that read events
        self._home = home
        self._folder = folder
        self._max_bytes = max_bytes
        self._unpacking: Unpacking | None = None
        self._download: Download | None = None

    def unpack_as_it_comes(self) -> None:
        """It holds a disk, maybe a compressed one: unpack that while it is being fetched."""
        self._unpacking = Unpacking(self._folder / "disk.unpacked", self._max_bytes)

    def fetch(self, op: Op) -> None:
        """Raises FetchError, DigestMismatch, BoxError, HostError."""
        from vagrantish.fetch import fetch_remote

        try:
            self._download = fetch_remote(
                self._remote,
                home=self._home,
                max_bytes=self._max_bytes,
                op=op,
                sink=self._unpacking,
                name=self._name,
                label=self.label(""),
            )
            if self._unpacking is not None:
                self._unpacking.end()
        except unpack.UnpackError as error:
            raise BoxError(
                f"{self._remote.urls[0]} cannot be unpacked: {error}",
                hint="Its digest was right, or it has none: the publisher's file is damaged.",
            ) from error
        finally:
            if self._unpacking is not None:
                self._unpacking.close()

    @property
    def fetched(self) -> Fetched:
        return self._got.fetched

    @property
    def _got(self) -> Download:
        assert self._download is not None, "fetch comes first"
        return self._download

    def label(self, member: str) -> str:
        """What it is called in progress: whole addresses are longer than a line."""
        parts = urlsplit(self._remote.urls[0])
        file = f"{posixpath.basename(parts.path)} from {parts.netloc}"
        return f"{member} in {file}" if member else file

    def staged(self, kind: ArtifactKind, member: str, *, label: str, op: Op) -> Staged:
        """One file of it in the staging folder. Raises BoxError, HostError."""
        target = self._folder / kind
        if member:
            with members.opened(self._got.path, member, label=label, op=op) as (content, size):
                with op.step("box:unpack", f"Unpacking {label}") as step:
                    return take(
                        kind, content, target,
                        label=label, size_bytes=size, expected=None, step=step,
                    )  # fmt: skip
        unpacked = self._unpacking.result if self._unpacking is not None else None
        if unpacked is not None:
            path, digest, size = unpacked
            return Staged(kind=kind, path=path, digest=digest, size_bytes=size)
        size = self.fetched.size_bytes
        self._got.take(target)
        return Staged(kind=kind, path=target, digest=self._sha256(), size_bytes=size)

    def staged_extension(self, name: str) -> StagedExtension:
        target = self._folder / f"extension-{name}"
        self._got.take(target)
        return StagedExtension(
            name=name, path=target, digest=self._sha256(), size_bytes=self.fetched.size_bytes
        )

    def _sha256(self) -> Digest:
        return Digest(algorithm="sha256", hex=self.fetched.sha256)

    def give_back(self) -> None:
        """This host could not go on: what was fetched stays for the next try."""
        self._got.give_back()

    def discard(self) -> None:
        """What is not needed any more once the box is in the store."""
        self._got.discard()


class Unpacking:
    """Takes a download's bytes as they come; a compressed file is unpacked, others let through.

    What is unpacked is hashed and written in threads of their own.
    """

    def __init__(self, target: Path, max_bytes: int) -> None:
        self._target = target
        self._max_bytes = max_bytes
        self._file: SparseFile | None = None
        self._takers: list[Feed] = []
        self.begin()

    def begin(self) -> None:
        """(Again) from the first byte."""
        self.close()
        with suppress(FileNotFoundError):
            self._target.unlink()
        self._head = b""
        self._decoder: unpack.Unpacker | None = None
        self._through = False
        self._hash = hashlib.sha256()
        self._size = 0
        self.result: tuple[Path, Digest, int] | None = None

    @property
    def keeps(self) -> bool:
        return self._decoder is not None

    def write(self, data: bytes) -> None:
        """Raises UnpackError, BoxError when it unpacks to too much, HostError."""
        if self._through:
            return
        if self._decoder is None:
            self._head += data
            if len(self._head) < sniff.HEAD_BYTES:
                return
            data = self._start()
        self._feed(data)

    def _start(self) -> bytes:
        """Decide by what came so far; that is then to be fed."""
        from vagrantish.fetch.pipes import Feed

        data, self._head = self._head, b""
        if not unpack.is_compressed(data) or self._holds_tar(data):
            self._through = True
            return b""
        self._decoder = unpack.Unpacker()
        with host_errors(f"write {self._target}"):
            self._file = SparseFile(self._target)
        self._takers = [Feed(self._hash.update), Feed(self._save)]
        return data

    @staticmethod
    def _holds_tar(data: bytes) -> bool:
        """A tar archive is not unpacked here: nobody said which member is the disk."""
        probe = unpack.Unpacker()
        with suppress(unpack.UnpackError):
            for piece in probe.feed(data):
                return piece[257:262] == b"ustar"
        return False

    def _feed(self, data: bytes) -> None:
        if self._decoder is None or self._file is None:
            return
        for piece in self._decoder.feed(data):
            self._size += len(piece)
            if self._size > self._max_bytes:
                raise BoxError(
                    f"the disk unpacks to more than {format_size(self._max_bytes)}",
                    hint="No honest image does: tell its publisher.",
                )
            for taker in self._takers:
                taker.put(piece)

    def _save(self, piece: bytes) -> None:
        assert self._file is not None
        with host_errors(f"write {self._target}"):
            self._file.write(piece)

    def end(self) -> None:
        """All came. Raises UnpackError when it is cut short."""
        if not self._through and self._decoder is None:
            self._feed(self._start())
        if self._decoder is None or self._file is None:
            return
        self._decoder.finish()
        for taker in self._takers:
            taker.drain()
        with host_errors(f"write {self._target}"):
            self._file.finish()
        digest = Digest(algorithm="sha256", hex=self._hash.hexdigest())
        self.result = (self._target, digest, self._size)

    def close(self) -> None:
        for taker in self._takers:
            taker.stop()
        self._takers = []
        if self._file is not None:
            self._file.close()
            self._file = None
