"""Reading compressed files with bounded memory, to a checked end."""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

_INPUT_CHUNK = 1 << 16
_XZ_MEMORY = 256 << 20  # xz -9 wants 65 MiB; a header may claim 4 GiB


class UnpackError(ValueError):
    """Compressed data that is damaged or cut short; the text is fit for the user."""


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def feed(self, data: bytes, limit: int) -> bytes: ...
    @property
    def hungry(self) -> bool: ...


class _Zlib:
    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(31)  # 31: a gzip header, the biggest window
        self._held_back = False  # a full answer: more may come without more input

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    @property
    def hungry(self) -> bool:
        return not self._decoder.unconsumed_tail and not self._held_back

    def feed(self, data: bytes, limit: int) -> bytes:
        output = self._decoder.decompress(self._decoder.unconsumed_tail + data, limit)
        self._held_back = len(output) == limit
        return output


class _Buffered:
    """The bz2 and lzma decoders of the standard library share one shape."""

    def __init__(self, decoder: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._decoder = decoder

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    @property
    def hungry(self) -> bool:
        return self._decoder.needs_input

    def feed(self, data: bytes, limit: int) -> bytes:
        return self._decoder.decompress(data, limit)


_DECODERS: tuple[tuple[bytes, Callable[[], _Decoder]], ...] = (
    (b"\x1f\x8b", _Zlib),
    (b"\xfd7zXZ\0", lambda: _Buffered(lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY))),
    (b"\x5d\0\0", lambda: _Buffered(lzma.LZMADecompressor(lzma.FORMAT_ALONE, _XZ_MEMORY))),
    (b"BZh", lambda: _Buffered(bz2.BZ2Decompressor())),
)


def is_compressed(head: bytes) -> bool:
    """Whether ``Unpacked`` knows the format that starts with ``head``."""
    return any(head.startswith(magic) for magic, _ in _DECODERS)


class Unpacked:
    """The content of the compressed members that start where ``file`` stands.

    Members of one format that follow each other are read as one, as their programs do. At the end,
    ``file`` stands right after the last of them. Errors are UnpackError.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._head = file.read(6)
        file.seek(-len(self._head), 1)
        self._magic, self._make = next(
            (magic, make) for magic, make in _DECODERS if self._head.startswith(magic)
        )
        self._decoder: _Decoder | None = self._make()

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; empty only at the end."""
        while self._decoder is not None:
            try:
                data = self._input() if self._decoder.hungry else b""
                output = self._decoder.feed(data, size)
            except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
                raise UnpackError(f"its compressed data is damaged ({error})") from error
            if self._decoder.eof:
                self._next_member()
            if output:
                return output
        return b""

    def _input(self) -> bytes:
        data = self._file.read(_INPUT_CHUNK)
        if not data:
            raise UnpackError("its compressed data is cut short")
        return data

    def _next_member(self) -> None:
        assert self._decoder is not None
        self._file.seek(-len(self._decoder.unused_data), 1)
        head = self._file.read(len(self._magic))
        self._file.seek(-len(head), 1)
        self._decoder = self._make() if head == self._magic else None
