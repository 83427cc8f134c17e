"""Where the clusters of a qcow2 image lie: its two levels of tables, as extents."""

from __future__ import annotations

import struct
from array import array
from collections import OrderedDict
from enum import Enum
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from vagrantish.formats.qcow2.header import Qcow2Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.formats.device import Device
    from vagrantish.formats.qcow2.header import Header

_SLICE_BYTES = 1 << 16  # of a second-level table: with big clusters one has 2 MiB
_SLICES_KEPT = 32
_OFFSET = 0x00FF_FFFF_FFFF_FE00
_COMPRESSED, _READS_ZERO = 1 << 62, 1
_PARTS = 32
_ALL_PARTS = (1 << _PARTS) - 1


class Kind(Enum):
    HOLE = "hole"  # the backing file shows, or zeros
    ZERO = "zero"
    DATA = "data"
    COMPRESSED = "compressed"


class Extent(NamedTuple):
    """A stretch of the disk. Compressed ones lie within one cluster and may be a part of it."""

    kind: Kind
    start: int  # on the disk
    length: int
    where: int = 0  # in the file: of its first byte, or of the compressed cluster
    stored: int = 0  # bytes the compressed cluster takes at most


class Tables:
    """Reads the first table at once, the second ones as they are wanted. Safe with threads."""

    def __init__(self, file: Device, header: Header) -> None:
        self._file = file
        self._header = header
        self._slices: OrderedDict[int, bytes] = OrderedDict()
        self._lock = Lock()
        mapped = header.l2_entries * header.cluster_bytes
        # There may be more entries, for the state of a machine in a snapshot.
        self._l1 = file.read_at(header.l1_offset, -(-header.virtual_bytes // mapped) * 8)
        used = len(self._l1) // 8 - array("Q", self._l1).count(0)
        if used * header.cluster_bytes > file.size:
            # Each has a cluster to itself, so some are used twice: reading might never end.
            raise Qcow2Error("its tables overlap", offset=header.l1_offset)

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        """What ``start`` to ``end`` is made of, in order and whole. Raises Qcow2Error."""
        last: Extent | None = None
        for piece in self._pieces(start, end):
            if last is None:
                last = piece
            elif _continues(last, piece):
                last = last._replace(length=last.length + piece.length)
            else:
                yield last
                last = piece
        if last is not None:
            yield last

    def _pieces(self, start: int, end: int) -> Iterator[Extent]:
        header = self._header
        table_span = header.l2_entries * header.cluster_bytes
        slice_span = min(table_span, _SLICE_BYTES // header.l2_entry_bytes * header.cluster_bytes)
        while start < end:
            index = start // table_span
            table = self._l2_table(index)
            if table:
                base = start - start % slice_span
                first = base % table_span // header.cluster_bytes
                stop = min(end, base + slice_span)
                yield from self._of_slice(table + first * header.l2_entry_bytes, base, start, stop)
            else:
                stop = min(end, (index + max(1, _zero_run(self._l1, index, 8))) * table_span)
                yield Extent(Kind.HOLE, start, stop - start)
            start = stop

    def _l2_table(self, index: int) -> int:
        (entry,) = struct.unpack_from(">Q", self._l1, index * 8)
        table: int = entry & _OFFSET
        cluster = self._header.cluster_bytes
        if table % cluster or table + cluster > self._file.size:
            raise Qcow2Error(
                f"a table is said to be at byte {table}, where none can be",
                offset=self._header.l1_offset + index * 8,
            )
        return table

    def _of_slice(self, where: int, base: int, start: int, end: int) -> Iterator[Extent]:
        """``where`` in the file lie the entries of the clusters from ``base`` on the disk on."""
        cluster, entry_bytes = self._header.cluster_bytes, self._header.l2_entry_bytes
        entries = self._slice(where)
        while start < end:
            index = (start - base) // cluster
            (entry,) = struct.unpack_from(">Q", entries, index * entry_bytes)
            empty = 0 if entry else _zero_run(entries, index, entry_bytes)
            stop = min(end, base + (index + max(1, empty)) * cluster)
            at = where + index * entry_bytes
            if empty:
                yield Extent(Kind.HOLE, start, stop - start)
            elif entry & _COMPRESSED:
                yield self._compressed(entry, start, stop)
            elif entry_bytes == 16:
                parts = struct.unpack_from(">II", entries, index * entry_bytes + 8)
                yield from self._parts(entry, parts, start, stop, at)
            else:
                yield self._plain(entry, start, stop, at)
            start = stop

    def _slice(self, where: int) -> bytes:
        with self._lock:
            entries = self._slices.get(where)
            if entries is not None:
                self._slices.move_to_end(where)
                return entries
        entries = self._file.read_at(where, min(self._header.cluster_bytes, _SLICE_BYTES))
        with self._lock:
            self._slices[where] = entries
            while len(self._slices) > _SLICES_KEPT:
                self._slices.popitem(last=False)
        return entries

    def _compressed(self, entry: int, start: int, end: int) -> Extent:
        place_bits = 62 - (self._header.cluster_bits - 8)
        where = entry & ((1 << place_bits) - 1)
        sectors = ((entry & (_COMPRESSED - 1)) >> place_bits) + 1
        return Extent(Kind.COMPRESSED, start, end - start, where, sectors * 512 - where % 512)

    def _plain(self, entry: int, start: int, end: int, at: int) -> Extent:
        if entry & _READS_ZERO:
            if self._header.version < 3:
                raise Qcow2Error("there is an entry no version 2 image has", offset=at)
            return Extent(Kind.ZERO, start, end - start)
        place = self._place(entry, at)
        if not place:
            return Extent(Kind.HOLE, start, end - start)
        return Extent(Kind.DATA, start, end - start, place + start % self._header.cluster_bytes)

    def _parts(
        self, entry: int, parts: tuple[int, int], start: int, end: int, at: int
    ) -> Iterator[Extent]:
        """A cluster that has a map of its parts: which are there, and which are zeros."""
        zeros, there = parts
        place = self._place(entry, at)
        if zeros & there or (there and not place):
            raise Qcow2Error("the map of a cluster's parts contradicts itself", offset=at)
        cluster = self._header.cluster_bytes
        part_bytes = cluster // _PARTS
        while start < end:
            inside = start % cluster
            bit = 1 << inside // part_bytes
            whole = not inside and there in (0, _ALL_PARTS) and zeros in (0, _ALL_PARTS)
            stop = end if whole else min(end, start + part_bytes - start % part_bytes)
            if there & bit:
                yield Extent(Kind.DATA, start, stop - start, place + inside)
            else:
                yield Extent(Kind.ZERO if zeros & bit else Kind.HOLE, start, stop - start)
            start = stop

    def _place(self, entry: int, at: int) -> int:
        place: int = entry & _OFFSET
        if place % self._header.cluster_bytes:
            raise Qcow2Error(f"a cluster is said to be at byte {place}", offset=at)
        return place


def _continues(last: Extent, piece: Extent) -> bool:
    if last.kind is not piece.kind or last.kind is Kind.COMPRESSED:
        return False
    return last.kind is not Kind.DATA or last.where + last.length == piece.where


def _zero_run(table: bytes, index: int, entry_bytes: int) -> int:
    """How many entries from ``index`` on are all zero, looking some way ahead."""
    rest = table[index * entry_bytes : index * entry_bytes + 4096]
    return (len(rest) - len(rest.lstrip(b"\0"))) // entry_bytes
