"""The header of a qcow2 image, and what it may ask for.

Layout: docs/interop/qcow2.rst of QEMU. All numbers are big-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from vagrantish.formats.device import ImageError

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"QFI\xfb"
HEADER_BYTES = 112
VIRTUAL_MAX = 64 << 40
_L1_MAX = 32 << 20  # bytes, as in QEMU: 2 PiB with clusters of 64 KiB
_HEADER_MIN = 104  # of version 3
# Incompatible features a reader must know: 0 dirty, 1 corrupt, 2 external data, 3 compression
# type, 4 extended L2 entries.
_CORRUPT, _EXTERNAL_DATA, _KNOWN_FEATURES = 1 << 1, 1 << 2, 0b11111
_COMPRESSION_TYPE, _EXTENDED_L2 = 1 << 3, 1 << 4


class Qcow2Error(ImageError):
    """Not a qcow2 image that can be read; the text is fit for the user."""


class Compression(IntEnum):
    ZLIB = 0
    ZSTD = 1


@dataclass(frozen=True, kw_only=True)
class Header:
    version: int
    virtual_bytes: int
    cluster_bits: int
    has_backing: bool
    encrypted: bool
    features: int  # the incompatible ones
    compression: int
    l1_offset: int
    l1_entries: int

    @property
    def tables_end(self) -> int:
        """Where in the file the first table ends: it is cut short when that is missing."""
        return self.l1_offset + self.l1_entries * 8

    @property
    def cluster_bytes(self) -> int:
        return 1 << self.cluster_bits

    @property
    def extended(self) -> bool:
        """Whether each cluster has a map of its 32 parts beside its place."""
        return bool(self.features & _EXTENDED_L2)

    @property
    def l2_entry_bytes(self) -> int:
        return 16 if self.extended else 8

    @property
    def l2_entries(self) -> int:
        """Of one table, which fills a cluster."""
        return self.cluster_bytes // self.l2_entry_bytes


def parse(head: bytes) -> Header:
    """The header of the image that starts with ``head``. Raises Qcow2Error."""
    if len(head) < 72 or not head.startswith(MAGIC):
        raise Qcow2Error("it is not a qcow2 image")
    version, backing, name_length, cluster_bits, size, crypt, l1_entries, l1_offset = (
        struct.unpack_from(">IQIIQIIQ", head, 4)
    )
    if version not in (2, 3):
        raise Qcow2Error(f"it is qcow2 version {version}, and 2 and 3 are known")
    if version == 3 and len(head) < _HEADER_MIN:
        raise Qcow2Error("its header is cut short")
    if not 9 <= cluster_bits <= 21:
        raise Qcow2Error(f"its clusters are 2^{cluster_bits} bytes, which no image has")
    header = Header(
        version=version,
        virtual_bytes=size,
        cluster_bits=cluster_bits,
        has_backing=backing != 0 or name_length != 0,
        encrypted=crypt != 0,
        features=struct.unpack_from(">Q", head, 72)[0] if version == 3 else 0,
        compression=_compression(head) if version == 3 else Compression.ZLIB,
        l1_offset=l1_offset,
        l1_entries=l1_entries,
    )
    if size == 0 or size > l1_entries * header.l2_entries * header.cluster_bytes:
        raise Qcow2Error(f"its header promises {size} bytes, which its tables do not hold")
    if size > VIRTUAL_MAX:
        raise Qcow2Error(f"its header promises {size} bytes, and {VIRTUAL_MAX} are the most")
    if l1_entries * 8 > _L1_MAX:
        raise Qcow2Error(f"its first table has {l1_entries} entries, which no image needs")
    return header


def _compression(head: bytes) -> int:
    (header_bytes,) = struct.unpack_from(">I", head, 100)
    return head[104] if header_bytes > _HEADER_MIN and len(head) > 104 else Compression.ZLIB


def check_standalone(head: bytes, size_bytes: int) -> Header:
    """The header, if the image of that size needs no other file and no key. Raises Qcow2Error."""
    header = check(head, size_bytes)
    if header.has_backing:
        raise Qcow2Error("it is only the changes to another image (it has a backing file)")
    return header


def check(head: bytes, size_bytes: int) -> Header:
    """The header, if the image of that size needs no key and no other file but a backing file."""
    header = parse(head)
    if header.tables_end > size_bytes:
        raise Qcow2Error(f"it is cut short: it has {size_bytes} bytes")
    if header.features & _EXTERNAL_DATA:
        raise Qcow2Error("its data is in another file")
    if header.encrypted:
        raise Qcow2Error("it is encrypted")
    if header.features & _CORRUPT:
        raise Qcow2Error("it is marked as corrupt: repair it with `qemu-img check -r all`")
    if header.features & ~_KNOWN_FEATURES:
        raise Qcow2Error("it uses qcow2 features vx does not know")
    # The bit guards the field against readers that are older than it (qcow2.rst, byte 104).
    if (header.compression != Compression.ZLIB) != bool(header.features & _COMPRESSION_TYPE):
        raise Qcow2Error("its header contradicts itself on how it is compressed", offset=104)
    if header.compression not in (Compression.ZLIB, Compression.ZSTD):
        raise Qcow2Error(f"it is compressed in a way vx does not know ({header.compression})")
    if header.extended and header.cluster_bits < 14:
        raise Qcow2Error(f"its clusters of {header.cluster_bytes} bytes are too small for parts")
    if header.l1_offset % header.cluster_bytes or not header.l1_offset:
        raise Qcow2Error("its first table is where none can be", offset=header.l1_offset)
    return header


def virtual_size(path: Path) -> int:
    """Bytes of the disk the image at ``path`` stands for. Raises Qcow2Error, OSError."""
    with path.open("rb") as file:
        return parse(file.read(HEADER_BYTES)).virtual_bytes
