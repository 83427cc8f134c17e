"""Where a box is added from: a folder or an archive, of which only the named files are read.

Archives come from strangers. Nothing is unpacked by a name the archive chose; what is not a plain
file beside box.toml, or is too many or too much, refuses the whole archive.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from vagrantish.box import definition
from vagrantish.box.ziplimits import check_zip_directory
from vagrantish.errors import BoxError
from vagrantish.files import host_errors
from vagrantish.formats import sniff, unpack

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from vagrantish.events import Op

MEMBERS_MAX = 1000
TOTAL_MAX = 256 << 30  # bytes an archive may unpack to
_ONE_READ_MAX = 1 << 20  # no tar header needs more; a hostile one claims gigabytes
_REPACK = "Pack the files alone: `tar -C FOLDER -czf box.tar.gz .`"


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Source(Protocol):
    def scan(self) -> tuple[frozenset[str], bytes | None]:
        """Every file's name, and what box.toml holds, up to its size limit plus one byte.

        Raises BoxError for what has no place in a box.
        """

    def members(self, wanted: frozenset[str]) -> Iterator[tuple[str, int, _Readable]]:
        """Name, size and content of each wanted file, in the order they lie there."""


@contextmanager
def open_source(path: Path, *, op: Op) -> Iterator[Source]:
    """Raises BoxError when ``path`` is neither a folder nor an archive vx reads."""
    if path.is_dir():
        yield _Folder(path)
        return
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise BoxError(
            f"there is no box at {path}", hint="Give a folder or an archive that holds a box.toml."
        ) from None
    except OSError as error:
        raise BoxError(f"cannot read {path}: {error.strerror}") from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BoxError(f"{path} is neither a folder nor an archive")
        yield _archive(path, file, op)


def _archive(path: Path, file: BinaryIO, op: Op) -> Source:
    head = file.read(sniff.HEAD_BYTES)
    file.seek(0)
    if head.startswith(b"PK\x03\x04"):
        return _Zip(path, file)
    if head[257:262] == b"ustar" or unpack.is_compressed(head):
        return _Tar(path, file, op)
    raise BoxError(
        f"{path} is {sniff.describe(head)}, not a box",
        hint="A box is a folder or a .tar, .tar.gz, .tar.xz or .zip archive that holds a box.toml.",
    )


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path.resolve()

    def scan(self) -> tuple[frozenset[str], bytes | None]:
        with host_errors(f"read the folder {self._path}"):
            names = frozenset(os.listdir(self._path))
        return names, _read_definition(self, names)

    def members(self, wanted: frozenset[str]) -> Iterator[tuple[str, int, _Readable]]:
        for name in sorted(wanted):
            path = (self._path / name).resolve()
            if not path.is_relative_to(self._path):
                raise BoxError(f"{self._path / name} is a link that leaves its folder")
            with host_errors(f"read {path}"):
                if not path.is_file():
                    raise BoxError(f"{path} is not a plain file")
                with path.open("rb") as file:
                    yield name, os.fstat(file.fileno()).st_size, file


class _Tar:
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

    def members(self, wanted: frozenset[str]) -> Iterator[tuple[str, int, _Readable]]:
        return (member for member in self._walk() if member[0] in wanted)

    def _walk(self) -> Iterator[tuple[str, int, _Readable]]:
        self._file.seek(0)
        head = self._file.read(sniff.HEAD_BYTES)
        self._file.seek(0)
        content = unpack.Unpacked(self._file) if unpack.is_compressed(head) else self._file
        forward = _Forward(content, self._op)
        seen: set[str] = set()
        count = total = 0
        try:
            with tarfile.open(fileobj=_as_file(forward), mode="r:", errorlevel=2) as tar:
                while (member := tar.next()) is not None:
                    count += 1
                    total += member.size
                    name = self._checked(member, count, total, seen)
                    if name:
                        yield name, member.size, _Limited(forward, member.size)
        except (tarfile.TarError, unpack.UnpackError, EOFError) as error:
            raise BoxError(
                f"{self._path} is a damaged archive: {error}", hint="Copy or download it again."
            ) from error

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


class _Zip:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        try:
            check_zip_directory(file, entries_max=MEMBERS_MAX)
            self._zip = zipfile.ZipFile(file)
            self._named = {_plain(info.orig_filename): info for info in self._zip.infolist()}
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise BoxError(f"{path} is a damaged archive: {error}") from error

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
        return names, _read_definition(self, names)

    def members(self, wanted: frozenset[str]) -> Iterator[tuple[str, int, _Readable]]:
        for name in sorted(wanted):
            try:
                info = self._named[name]
                with self._zip.open(info) as file:
                    yield name, info.file_size, file
            except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
                raise BoxError(f"{self._path} is a damaged archive: {error}") from error


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


def _read_definition(source: Source, names: frozenset[str]) -> bytes | None:
    wanted = frozenset({definition.FILE_NAME}) & names
    for _, _, content in source.members(wanted):
        return content.read(definition.SIZE_MAX + 1)
    return None


class _Forward:
    """A stream tarfile can read: seeks go forward only, and no single read is big."""

    def __init__(self, source: _Readable, op: Op) -> None:
        self._source = source
        self._op = op
        self._at = 0

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
