"""Where a box is added from: a folder, or an archive."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vagrantish.box.archive import Tar, Zip, read_definition
from vagrantish.errors import BoxError
from vagrantish.files import host_errors
from vagrantish.formats import sniff, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from vagrantish.box.archive import Source
    from vagrantish.box.ingest import Readable
    from vagrantish.events import Op


@contextmanager
def open_source(path: Path, *, op: Op) -> Iterator[Source]:
    """Raises BoxError when ``path`` is neither a folder nor an archive vx reads."""
    if path.is_dir():
        yield _Folder(path)
        return
    try:
        # Looked at first: opening a pipe would wait for its other end.
        if path.exists() and not path.is_file():
            raise BoxError(f"{path} is neither a folder nor an archive")
        file = path.open("rb")
    except FileNotFoundError:
        raise BoxError(
            f"there is no box at {path}", hint="Give a folder or an archive that holds a box.toml."
        ) from None
    except OSError as error:
        raise BoxError(f"cannot read {path}: {error.strerror}") from error
    with file:
        yield _archive(path, file, op)


def _archive(path: Path, file: BinaryIO, op: Op) -> Source:
    head = file.read(sniff.HEAD_BYTES)
    file.seek(0)
    if head.startswith(b"PK\x03\x04"):
        return Zip(path, file)
    if head[257:262] == b"ustar" or unpack.is_compressed(head):
        return Tar(path, file, op)
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
        return names, read_definition(self, names)

    def members(self, wanted: frozenset[str]) -> Iterator[tuple[str, int, Readable]]:
        for name in sorted(wanted):
            path = (self._path / name).resolve()
            if not path.is_relative_to(self._path):
                raise BoxError(f"{self._path / name} is a link that leaves its folder")
            with host_errors(f"read {path}"):
                if not path.is_file():
                    raise BoxError(f"{path} is not a plain file")
                with path.open("rb") as file:
                    yield name, os.fstat(file.fileno()).st_size, file
