"""Single files out of published archives and ISO images, found by their paths."""

from __future__ import annotations

import tarfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vagrantish.box.archive import MEMBERS_MAX, forward_tar
from vagrantish.errors import BoxError
from vagrantish.formats import sniff, unpack
from vagrantish.formats.device import FileDevice, ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.box.ingest import Readable
    from vagrantish.events import Op

_MEMBER_MAX = 64 << 40


@contextmanager
def opened(path: Path, member: str, *, label: str, op: Op) -> Iterator[tuple[Readable, int]]:
    """The content and size of ``member`` of the tar archive or ISO image at ``path``.

    ``label`` names the member for people. Raises BoxError: no such file there, or damage.
    """
    try:
        with path.open("rb") as file:
            head = file.read(sniff.HEAD_BYTES)
        packed = unpack.is_compressed(head) or head[257:262] == b"ustar"
        with _in_tar(path, member, op) if packed else _in_image(path, member) as found:
            yield found
    except ImageError as error:
        raise BoxError(f"{label} cannot be read: {error}", hint="Download it again.") from error
    except (tarfile.TarError, unpack.UnpackError, zlib.error, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BoxError(f"{label} is in a damaged archive: {error}") from error


@contextmanager
def _in_image(path: Path, member: str) -> Iterator[tuple[Readable, int]]:
    from vagrantish.formats.probe import describe, open_volume

    with FileDevice(path) as device:
        volume = open_volume(device)
        if volume is None:
            raise ImageError(f"it is {describe(device)}, no archive or image that holds files")
        node = volume.find(member)
        size = node.size if node is not None else 0
        yield Pieces(volume.chunks(member, most=_MEMBER_MAX)), size


@contextmanager
def _in_tar(path: Path, member: str, op: Op) -> Iterator[tuple[Readable, int]]:
    with path.open("rb") as file, forward_tar(file, op) as tar:
        for count, info in enumerate(iter(tar.next, None), start=1):
            if count > MEMBERS_MAX:
                raise ImageError(f"it has more than {MEMBERS_MAX} members")
            if info.name.removeprefix("./") != member:
                continue
            if not info.isfile():
                raise ImageError(f"{member} in it is no plain file")
            content = tar.extractfile(info)
            assert content is not None
            yield content, info.size
            return
        raise ImageError(f"it holds no {member}")


class Pieces:
    """Pieces of any size, read like a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def read(self, size: int, /) -> bytes:
        if not self._left:
            self._left = next(self._pieces, b"")
        data, self._left = self._left[:size], self._left[size:]
        return data
