"""Unpacks the compressed clusters of a qcow2 image."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from vagrantish.formats.qcow2.header import Compression, Qcow2Error

if TYPE_CHECKING:
    from vagrantish.formats.qcow2.header import Header

# QEMU writes raw deflate with a window of 2^12; other writers are said to use the usual one.
_DEFLATE_WINDOW = -15
_ZSTD_WINDOW_LOG_MAX = 23  # what RFC 8878 asks every reader to manage


def unpack(header: Header, stored: bytes | memoryview, where: int) -> bytes:
    """A whole cluster, from ``where`` in the file; what follows its data is ignored.

    Raises Qcow2Error.
    """
    wanted = header.cluster_bytes
    try:
        if header.compression == Compression.ZSTD:
            data = _zstd(stored, wanted)
        else:
            data = zlib.decompressobj(_DEFLATE_WINDOW).decompress(stored, wanted)
    except zlib.error as error:
        raise _damaged(where) from error
    if len(data) != wanted:
        raise _damaged(where)
    return data


def _zstd(stored: bytes | memoryview, wanted: int) -> bytes:
    from vagrantish.formats import zstd

    try:
        return zstd.decompressor(_ZSTD_WINDOW_LOG_MAX).decompress(stored, wanted)
    except zstd.ZstdError:
        return b""


def _damaged(where: int) -> Qcow2Error:
    return Qcow2Error("there is a compressed cluster that is damaged or cut short", offset=where)
