"""Boxes in tar and zip archives, which come from strangers.

Nothing is unpacked by a name the archive chose; what is not a plain file beside box.toml, or is
too many or too much, refuses the whole archive.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from vagrantish.box import definition
from vagrantish.box.ziplimits import check_zip_directory
from vagrantish.errors import BoxError
from vagrantish.formats import sniff, unpack

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from vagrantish.box.ingest import Readable
    from vagrantish.events import Op

MEMBERS_MAX = 1000
TOTAL_MAX = 256 << 30  # bytes an archive may unpack to
_ONE_READ_MAX = 1 << 20  # no tar header needs more; a hostile one claims gigabytes
_BLOCK = 512
_HEADER_BLOCKS_MAX = 40_000  # of all members: the map of a sparse file has no bound of its own
_REPACK = "Pack the files alone: `tar -C FOLDER -czf box.tar.gz .`"


class Source(Protocol):
    """Where a box is read from."""

    def scan(self) -> tuple[frozenset[str], bytes | None]:
        """Every file's name, and what box.toml holds, up to its size limit plus one byte.

        Raises BoxError for what has no place in a box.
        """

    def members(self, wanted: frozenset[str]) -> Iterator[tuple[str, int, Readable]]:
        """Name, size and content of each wanted file, in the order they lie there."""


def read_definition(source: Source, names: frozenset[str]) -> bytes | None:
    wanted = frozenset({definition.FILE_NAME}) & names
    for _, _, content in source.members(wanted):
        return content.read(definition.SIZE_MAX + 1)
    return None


class Tar:
    def __init__(self, path: Path, file: BinaryIO, op: Op) -> None:
        self._path = path
        self._file = file
        self._op = op

    def scan(self) -> tuple[frozenset[str], bytes | None]:
        names: set[str] = set()
        text = None
        for name, _, content in self._walk():
            names.add(name)
            if name == definition.FILE_NAME:
                text = content.read(definition.SIZE_MAX + 1)
        return frozenset(names), text

    def members(self, wanted: frozenset[str]) -> Iterator[tuple[str, int, Readable]]:
        return (member for member in self._walk() if member[0] in wanted)

    def _walk(self) -> Iterator[tuple[str, int, Readable]]:
        seen: set[str] = set()
        count = total = 0
        with _damage_told(self._path):
            forward = _forward(self._file, self._op)
            with tarfile.open(fileobj=_as_file(forward), mode="r:", errorlevel=2) as tar:
                while (member := tar.next()) is not None:
                    count += 1
                    total += member.size
                    name = self._checked(member, count, total, seen)
                    if name:
                        data = _Limited(forward, member.size)
                        yield name, member.size, _Guarded(data, self._path)

    def _checked(self, member: tarfile.TarInfo, count: int, total: int, seen: set[str]) -> str:
        """The member's name, "" for the folder they all lie in; raises BoxError."""
        if member.isdir() and member.name in ("", "."):
            return ""
        _check_total(self._path, member.name, total)
        odd = ""
        if member.issym() or member.islnk():
            odd = "a link"
        elif member.issparse():
            odd = "a sparse file"
        elif not member.isfile():
            odd = "a folder" if member.isdir() else "a device or pipe"
        return _check_member(self._path, member.name, odd, count, seen)


def forward_tar(file: BinaryIO, op: Op) -> tarfile.TarFile:
    """The archive in ``file``, compressed or not, to be read member by member with bounded memory."""
    return tarfile.open(fileobj=_as_file(_forward(file, op)), mode="r:", errorlevel=2)


def _forward(file: BinaryIO, op: Op) -> _Forward:
    file.seek(0)
    head = file.read(sniff.HEAD_BYTES)
    file.seek(0)
    return _Forward(unpack.Unpacked(file) if unpack.is_compressed(head) else file, op)


class Zip:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        with _damage_told(path):
            check_zip_directory(file, entries_max=MEMBERS_MAX)
            self._zip = zipfile.ZipFile(file)
        self._named = {_plain(info.orig_filename): info for info in self._zip.infolist()}

    def scan(self) -> tuple[frozenset[str], bytes | None]:
        seen: set[str] = set()
        total = 0
        for count, info in enumerate(self._zip.infolist(), start=1):
            kind = stat.S_IFMT(info.external_attr >> 16)
            odd = ""
            if info.is_dir():
                odd = "a folder"
            elif kind == stat.S_IFLNK:
                odd = "a link"
            elif kind not in (0, stat.S_IFREG):
                odd = "a device or pipe"
            elif info.flag_bits & 1:
                odd = "encrypted"
            total += info.file_size
            _check_total(self._path, info.orig_filename, total)
            _check_member(self._path, info.orig_filename, odd, count, seen)
        names = frozenset(seen)
        return names, read_definition(self, names)

    def members(self, wanted: frozenset[str]) -> Iterator[tuple[str, int, Readable]]:
        for name in sorted(wanted):
            info = self._named[name]
            with _damage_told(self._path), self._zip.open(info) as file:
                yield name, info.file_size, _Guarded(file, self._path)


def _plain(name: str) -> str:
    return name.removeprefix("./")


def _check_member(archive: Path, name: str, odd: str, count: int, seen: set[str]) -> str:
    """The plain name of an archive's member, added to ``seen``; ``odd`` is what it is if no file.

    Raises BoxError naming the member.
    """
    shown = ascii(name[:100])
    plain = _plain(name)
    if count > MEMBERS_MAX:
        raise BoxError(
            f"{archive} has more than {MEMBERS_MAX} members, {shown} for one; no box has"
        )
    if odd:
        raise BoxError(f"{archive} holds {shown}, which is {odd}", hint=_REPACK)
    if "/" in plain or "\\" in plain or "\0" in plain or plain in ("", ".", ".."):
        raise BoxError(
            f"{archive} holds {shown}, and a box's files lie side by side in it", hint=_REPACK
        )
    if plain in seen:
        raise BoxError(f"{archive} holds {shown} twice", hint=_REPACK)
    seen.add(plain)
    return plain


def _check_total(archive: Path, name: str, total: int) -> None:
    if total > TOTAL_MAX:
        raise BoxError(
            f"{archive} would unpack to more than {TOTAL_MAX >> 30} GiB with {name[:100]!a}",
            hint="Put the disk in as qcow2, or add the box from a folder.",
        )


@contextmanager
def _damage_told(archive: Path) -> Iterator[None]:
    """Turns what the archive readers raise into a BoxError."""
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        unpack.UnpackError,
        ValueError,
        EOFError,
        NotImplementedError,
    ) as error:
        raise BoxError(
            f"{archive} is a damaged archive: {error}", hint="Copy or download it again."
        ) from error


class _Guarded:
    """A member's content; damage shows while it is read."""

    def __init__(self, source: Readable, archive: Path) -> None:
        self._source = source
        self._archive = archive

    def read(self, size: int, /) -> bytes:
        with _damage_told(self._archive):
            return self._source.read(size)


class _Forward:
    """A stream tarfile can read: seeks go forward only, and no single read is big."""

    def __init__(self, source: Readable, op: Op) -> None:
        self._source = source
        self._op = op
        self._at = 0
        self._blocks = 0

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int) -> int:
        if offset < self._at:
            raise tarfile.ReadError("a member's size makes no sense")
        while self._at < offset:
            if not self.read(min(offset - self._at, _ONE_READ_MAX)):
                break
        return self._at

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _ONE_READ_MAX:
            raise tarfile.ReadError("a header claims to be enormous")
        self._op.cancel.check()
        self._blocks += size == _BLOCK
        if self._blocks > _HEADER_BLOCKS_MAX:
            raise tarfile.ReadError("its headers make no sense: there are too many of them")
        data = b""
        while len(data) < size:
            chunk = self._source.read(size - len(data))
            if not chunk:
                break
            data += chunk
        self._at += len(data)
        return data


def _as_file(forward: _Forward) -> io.BufferedIOBase:
    """tarfile uses tell, seek and read alone, whatever its annotation asks for."""
    return forward  # type: ignore[return-value]


class _Limited:
    """The data of the tar member the stream stands at."""

    def __init__(self, source: _Forward, size: int) -> None:
        self._source = source
        self._left = size

    def read(self, size: int, /) -> bytes:
        data = self._source.read(min(size, self._left, _ONE_READ_MAX))
        if not data and self._left and size:
            raise EOFError("it is cut short")
        self._left -= len(data)
        return data
