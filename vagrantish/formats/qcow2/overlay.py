"""Makes an empty qcow2 image over a backing file."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from vagrantish.formats.qcow2.header import HEADER_BYTES, MAGIC, Qcow2Error

if TYPE_CHECKING:
    from pathlib import Path

_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_NAME_MAX = 1023
_BACKING_FORMAT = 0xE2792ACA


def create_overlay(
    target: Path, backing: Path, *, backing_format: str, virtual_size_bytes: int
) -> None:
    """Make an image at ``target`` that reads as ``backing`` and keeps all changes to itself.

    Beyond the backing file's own size it reads as zeros. Raises OSError (also when ``target``
    exists) and Qcow2Error; nothing is then left behind.
    """
    name = os.fsencode(backing)
    if len(name) > _NAME_MAX:
        raise Qcow2Error(f"the path {backing} is longer than a qcow2 image can hold")
    data = overlay_bytes(name, backing_format.encode(), virtual_size_bytes)
    try:
        with target.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def overlay_bytes(backing: bytes, backing_format: bytes, virtual_size_bytes: int) -> bytes:
    """A whole image: header, refcount table, one refcount block, and an L1 table of zeros."""
    size = -(-virtual_size_bytes // 512) * 512
    l1_entries = -(-size // (_CLUSTER * _CLUSTER // 8))
    l1_clusters = -(-l1_entries * 8 // _CLUSTER)
    used = 3 + l1_clusters  # header, refcount table, refcount block, L1 table
    header = bytearray(
        MAGIC + struct.pack(
            ">IQIIQIIQQIIQQQQIIB7x",
            3, 0, len(backing), _CLUSTER_BITS, size, 0,
            l1_entries, 3 * _CLUSTER,  # the L1 table
            _CLUSTER, 1,  # the refcount table
            0, 0,  # snapshots
            0, 0, 0,  # features
            4,  # 16-bit refcounts
            HEADER_BYTES, 0,  # zlib
        )
    )  # fmt: skip
    extension = struct.pack(">II", _BACKING_FORMAT, len(backing_format)) + backing_format
    header += extension + b"\0" * (-len(extension) % 8) + b"\0" * 8
    struct.pack_into(">Q", header, 8, len(header))
    header += backing
    refcount_table = struct.pack(">Q", 2 * _CLUSTER)
    refcounts = b"\0\1" * used
    return b"".join(
        part + b"\0" * (-len(part) % _CLUSTER)
        for part in (bytes(header), refcount_table, refcounts, b"\0" * (l1_entries * 8))
    )
