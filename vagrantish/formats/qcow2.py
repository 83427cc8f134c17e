"""qcow2 images: judging one, and making an empty one over a backing file.

Layout: docs/interop/qcow2.rst of QEMU. All numbers are big-endian.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"QFI\xfb"
HEADER_BYTES = 112
_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_NAME_MAX = 1023
_BACKING_FORMAT = 0xE2792ACA
# Incompatible features a reader must know: 0 dirty, 1 corrupt, 2 external data, 3 compression
# type, 4 extended L2 entries.
_CORRUPT, _EXTERNAL_DATA, _KNOWN_FEATURES = 1 << 1, 1 << 2, 0b11111


class Qcow2Error(ValueError):
    """Not a qcow2 image that stands by itself; the text is fit for the user."""


@dataclass(frozen=True, kw_only=True)
class Header:
    version: int
    virtual_bytes: int
    cluster_bits: int
    has_backing: bool
    encrypted: bool
    features: int  # the incompatible ones
    tables_end: int  # where in the file the first table ends: it is cut short when that is missing


def parse(head: bytes) -> Header:
    """The header of the image that starts with ``head``. Raises Qcow2Error."""
    if len(head) < 72 or not head.startswith(MAGIC):
        raise Qcow2Error("it is not a qcow2 image")
    version, backing, name_length, cluster_bits, size, crypt, l1_size, l1_offset = (
        struct.unpack_from(">IQIIQIIQ", head, 4)
    )
    if version not in (2, 3):
        raise Qcow2Error(f"it is qcow2 version {version}, and 2 and 3 are known")
    if version == 3 and len(head) < 104:
        raise Qcow2Error("its header is cut short")
    if not 9 <= cluster_bits <= 21:
        raise Qcow2Error(f"its clusters are 2^{cluster_bits} bytes, which no image has")
    # One L2 table of 8-byte entries maps cluster_size / 8 clusters.
    mapped = l1_size << (2 * cluster_bits - 3)
    if size == 0 or size > mapped or size >> 62:
        raise Qcow2Error(f"its header promises {size} bytes, which its tables do not hold")
    return Header(
        version=version,
        virtual_bytes=size,
        cluster_bits=cluster_bits,
        has_backing=backing != 0 or name_length != 0,
        encrypted=crypt != 0,
        features=struct.unpack_from(">Q", head, 72)[0] if version == 3 else 0,
        tables_end=l1_offset + l1_size * 8,
    )


def check_standalone(head: bytes, size_bytes: int) -> Header:
    """The header, if the image of that size needs no other file and no key. Raises Qcow2Error."""
    header = parse(head)
    if header.tables_end > size_bytes:
        raise Qcow2Error(f"it is cut short: it has {size_bytes} bytes")
    if header.has_backing:
        raise Qcow2Error("it is only the changes to another image (it has a backing file)")
    if header.features & _EXTERNAL_DATA:
        raise Qcow2Error("its data is in another file")
    if header.encrypted:
        raise Qcow2Error("it is encrypted")
    if header.features & _CORRUPT:
        raise Qcow2Error("it is marked as corrupt: repair it with `qemu-img check -r all`")
    if header.features & ~_KNOWN_FEATURES:
        raise Qcow2Error("it uses qcow2 features vx does not know")
    return header


def virtual_size(path: Path) -> int:
    """Bytes of the disk the image at ``path`` stands for. Raises Qcow2Error, OSError."""
    with path.open("rb") as file:
        return parse(file.read(HEADER_BYTES)).virtual_bytes


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
