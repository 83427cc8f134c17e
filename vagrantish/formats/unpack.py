"""Reading compressed data with bounded memory, to a checked end: pulled from a file or pushed."""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from vagrantish.formats.zstd import ZstdDecompressor

_INPUT_CHUNK = 1 << 16
_OUTPUT_CHUNK = 1 << 20
_XZ_MEMORY = 256 << 20  # xz -9 wants 65 MiB; a header may claim 4 GiB
_ZSTD_WINDOW_LOG_MAX = 27  # 128 MiB, where the zstd program stops as well
_EMPTY_MEMBERS_MAX = 100_000


class UnpackError(ValueError):
    """Compressed data that is damaged or cut short; the text is fit for the user."""


class _Decoder(Protocol):
    """Of one member."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def feed(self, data: bytes, limit: int) -> bytes:
        """Up to ``limit`` bytes. Raises UnpackError."""

    @property
    def hungry(self) -> bool:
        """Whether it gives no more without more data."""


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
        try:
            output = self._decoder.decompress(self._decoder.unconsumed_tail + data, limit)
        except zlib.error as error:
            raise _damaged(error) from error
        self._held_back = len(output) == limit
        return output


class _Buffered:
    """The bz2, lzma and zstd decoders of the standard library share one shape."""

    def __init__(
        self,
        decoder: bz2.BZ2Decompressor | lzma.LZMADecompressor | ZstdDecompressor,
        errors: tuple[type[Exception], ...] = (),
    ) -> None:
        self._decoder = decoder
        self._errors: tuple[type[Exception], ...] = (OSError, EOFError, lzma.LZMAError, *errors)

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
        try:
            return self._decoder.decompress(data, limit)
        except self._errors as error:
            raise _damaged(error) from error


def _zstd() -> _Decoder:
    from vagrantish.formats import zstd

    return _Buffered(zstd.decompressor(_ZSTD_WINDOW_LOG_MAX), (zstd.ZstdError,))


class _Format(NamedTuple):
    magics: tuple[bytes, ...]
    decoder: Callable[[], _Decoder]


_FORMATS = (
    _Format((b"\x1f\x8b",), _Zlib),
    _Format((b"\xfd7zXZ\0",), lambda: _Buffered(lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY))),
    _Format(
        (b"\x5d\0\0",), lambda: _Buffered(lzma.LZMADecompressor(lzma.FORMAT_ALONE, _XZ_MEMORY))
    ),
    _Format((b"BZh",), lambda: _Buffered(bz2.BZ2Decompressor())),
    # Frames that are to be skipped are skipped by the decoder; pzstd starts with one.
    _Format(
        (b"\x28\xb5\x2f\xfd", *(bytes([low]) + b"\x2a\x4d\x18" for low in range(0x50, 0x60))), _zstd
    ),
)


def is_compressed(head: bytes) -> bool:
    """Whether ``Unpacked`` and ``Unpacker`` know the format that starts with ``head``."""
    return any(head.startswith(form.magics) for form in _FORMATS)


class _Members:
    """The members of one format that follow each other, with zeros as padding between them."""

    def __init__(self) -> None:
        self._formats: tuple[_Format, ...] = _FORMATS  # what the next member may be of
        self._decoder: _Decoder | None = None
        self._input = b""
        self._empty = 0  # members that gave nothing
        self._gave = False
        self._started = False
        self.padding_bytes = 0  # zeros skipped since the last member
        self.ended = False  # what follows the last member is something else

    @property
    def hungry(self) -> bool:
        """Whether ``take`` gives nothing before ``give``."""
        if self._decoder is None:
            return not self.ended
        return not self._input and self._decoder.hungry

    @property
    def left_bytes(self) -> int:
        """Of what was given, how much comes after the last member."""
        return self.padding_bytes + len(self._input)

    def give(self, data: bytes) -> None:
        self._input += data
        if self._decoder is None:
            self._begin()

    def take(self, limit: int) -> bytes:
        """Up to ``limit`` bytes; often none, also where more will come. Raises UnpackError."""
        if self._decoder is None:
            return b""
        data, self._input = self._input, b""
        output = self._decoder.feed(data, limit)
        self._gave = self._gave or bool(output)
        if self._decoder.eof:
            self._input = self._decoder.unused_data
            self._decoder = None
            self._count_empty()
            self._begin()
        return output

    def finish(self) -> None:
        """There is no more to give. Raises UnpackError if that is too early."""
        if self._decoder is not None or not self._started:
            raise UnpackError("its compressed data is cut short")

    def _begin(self) -> None:
        if self._started:
            rest = self._input.lstrip(b"\0")
            self.padding_bytes += len(self._input) - len(rest)
            self._input = rest
        for form in self._formats:
            if self._input.startswith(form.magics):
                self._formats = (form,)
                self._decoder = form.decoder()
                self.padding_bytes = 0
                self._gave = False
                self._started = True
                return
        # A part of the first bytes may be all that has come so far.
        magics = [magic for form in self._formats for magic in form.magics]
        self.ended = not any(magic.startswith(self._input) for magic in magics)
        if self.ended and not self._started:
            raise UnpackError("it is not compressed in a way vx knows")

    def _count_empty(self) -> None:
        self._empty += not self._gave
        if self._empty > _EMPTY_MEMBERS_MAX:
            raise UnpackError(f"its compressed data has over {_EMPTY_MEMBERS_MAX} empty members")


class Unpacked:
    """The content of the compressed members that start where ``file`` stands.

    Members of one format that follow each other are read as one, as their programs do. At the end,
    ``file`` stands right after the last of them. Errors are UnpackError.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._members = _Members()
        self._over = False

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; empty only at the end."""
        members = self._members
        while not self._over and size > 0:
            if members.hungry:
                data = self._file.read(_INPUT_CHUNK)
                if not data:
                    members.finish()
                    self._leave()
                    break
                members.give(data)
            output = members.take(size)
            if members.ended:
                self._leave()
            if output:
                return output
        return b""

    def _leave(self) -> None:
        self._over = True
        self._file.seek(-self._members.left_bytes, 1)


class Unpacker:
    """The same for data that comes in pieces, nothing of which may lie outside the members."""

    def __init__(self) -> None:
        self._members = _Members()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` unpacks to, in pieces of at most 1 MiB; to be run to its end.

        Raises UnpackError.
        """
        members = self._members
        for start in range(0, len(data), _INPUT_CHUNK):
            members.give(data[start : start + _INPUT_CHUNK])
            while not members.hungry:
                if members.ended:
                    raise _more_follows()
                if output := members.take(_OUTPUT_CHUNK):
                    yield output

    def finish(self) -> None:
        """Raises UnpackError unless the data came to its end."""
        self._members.finish()
        if self._members.left_bytes > self._members.padding_bytes:
            raise _more_follows()


def _damaged(error: Exception) -> UnpackError:
    return UnpackError(f"its compressed data is damaged ({error})")


def _more_follows() -> UnpackError:
    return UnpackError("after the end of its compressed data there is something else")
