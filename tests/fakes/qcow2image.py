"""Makes small qcow2 images in memory, cluster by cluster as a test wants them."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from backports import zstd

MAGIC = b"QFI\xfb"
KINDS = ("hole", "zero", "data", "compressed")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """``clusters`` holds a kind each; with ``parts`` "parts" is one more of them."""

    clusters: tuple[str, ...]
    cluster_bits: int = 9
    version: int = 3
    zstd: bool = False
    parts: bool = False  # extended L2 entries
    backing: bool = False
    short_bytes: int = 0  # how much of the last cluster the disk does not have


def content(cluster: int, index: int) -> bytes:
    """What a cluster with data holds, some of it zeros; it compresses."""
    return (
        (struct.pack(">I", index + 1) * 32 + bytes(32))
        .ljust(cluster // 2, b"\1")
        .ljust(cluster, bytes([index % 250 + 1]))
    )


def build(shape: Shape) -> tuple[bytes, bytes]:
    """An image and the disk it stands for, where a backing file of "b" shows in holes."""
    cluster = 1 << shape.cluster_bits
    entry_bytes = 16 if shape.parts else 8
    per_table = cluster // entry_bytes
    tables = -(-len(shape.clusters) // per_table)
    l1_clusters = -(-tables * 8 // cluster)
    data_at = 1 + l1_clusters + tables
    file = bytearray(data_at * cluster)
    disk = bytearray()
    under = b"b" if shape.backing else b"\0"
    for index, kind in enumerate(shape.clusters):
        plain = content(cluster, index)
        extra = (0, 0)
        if kind == "compressed":
            entry = _add_compressed(file, plain, shape)
        elif kind in ("data", "parts"):
            entry = 1 << 63 | _add(file, plain, cluster)
        else:
            entry, plain = 0, under * cluster
        if kind == "zero":
            entry, plain = (0 if shape.parts else 1), bytes(cluster)
        if shape.parts:
            extra = {
                "data": (0, 0xFFFFFFFF),
                "zero": (0xFFFFFFFF, 0),
                "parts": (0b1100, 0b0011),
            }.get(kind, (0, 0))
            if kind == "parts":
                part = cluster // 32
                plain = plain[: 2 * part] + bytes(2 * part) + under * (28 * part)
        disk += plain
        at = (1 + l1_clusters) * cluster + index * entry_bytes
        packed = struct.pack(">QII", entry, *extra)
        file[at : at + entry_bytes] = packed[:entry_bytes]
    for table in range(tables):
        place = 1 << 63 | (1 + l1_clusters + table) * cluster
        struct.pack_into(">Q", file, cluster + table * 8, place)
    size = len(disk) - shape.short_bytes
    file[:cluster] = header(shape, size, tables).ljust(cluster, b"\0")
    return bytes(file), bytes(disk[:size])


def header(shape: Shape, size: int, tables: int) -> bytes:
    cluster = 1 << shape.cluster_bits
    # QEMU insists on a refcount table, and reading never looks into it: the first table will do.
    features = (8 if shape.zstd else 0) | (16 if shape.parts else 0)
    return (
        MAGIC
        + struct.pack(
            ">IQIIQIIQQIIQ",
            shape.version, 112 if shape.backing else 0, 4 if shape.backing else 0,
            shape.cluster_bits, size, 0, tables, cluster, cluster, 1, 0, 0,
        )
        + struct.pack(">QQQIIB7x", features, 0, 0, 4, 112, int(shape.zstd))
        + b"base"
    )  # fmt: skip


def _add(file: bytearray, data: bytes, alignment: int) -> int:
    file += bytes(-len(file) % alignment)
    at = len(file)
    file += data
    return at


def _add_compressed(file: bytearray, plain: bytes, shape: Shape) -> int:
    if shape.zstd:
        stored = zstd.compress(plain)
    else:
        maker = zlib.compressobj(6, zlib.DEFLATED, -12)
        stored = maker.compress(plain) + maker.flush()
    at = _add(file, stored, 1)
    sectors = (at + len(stored) - 1) // 512 - at // 512
    return 1 << 62 | sectors << (62 - (shape.cluster_bits - 8)) | at
