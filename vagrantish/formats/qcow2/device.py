"""The disk a qcow2 image stands for, read by position."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

from vagrantish.formats.device import check_range
from vagrantish.formats.qcow2.clusters import unpack
from vagrantish.formats.qcow2.header import HEADER_BYTES, check, check_standalone
from vagrantish.formats.qcow2.tables import Kind, Tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vagrantish.formats.device import Device
    from vagrantish.formats.qcow2.tables import Extent

_READ_MAX = 4 << 20  # bytes of compressed clusters read at once
_KEPT_BYTES = 8 << 20  # of unpacked clusters of which only a part was wanted


class Qcow2Device:
    """An image in ``file``. Where it has nothing, ``backing`` shows; images that have a backing
    file are refused without one, as only who made them knows what they are over.

    Raises Qcow2Error.
    """

    def __init__(self, file: Device, *, backing: Device | None = None) -> None:
        head = file.read_at(0, min(HEADER_BYTES, file.size))
        self.header = (check_standalone if backing is None else check)(head, file.size)
        self._file = file
        self._backing = backing if self.header.has_backing else None
        self._tables = Tables(file, self.header)
        self._clusters: OrderedDict[int, bytes] = OrderedDict()
        self._lock = Lock()

    @property
    def size(self) -> int:
        return self.header.virtual_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        return b"".join(self.load(self.extents(offset, offset + length)))

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        """What these bytes of the disk are made of, in order."""
        return self._tables.extents(start, end)

    def load(self, extents: Iterable[Extent]) -> Iterator[bytes]:
        """The bytes of each extent; compressed clusters side by side are read at once."""
        for group in _side_by_side(extents):
            first = group[0]
            if first.kind is Kind.COMPRESSED:
                yield from self._compressed(group)
            elif first.kind is Kind.DATA:
                yield self._stored(first.where, first.length).ljust(first.length, b"\0")
            elif first.kind is Kind.HOLE and self._backing is not None:
                yield _at_most(self._backing, first.start, first.length).ljust(first.length, b"\0")
            else:
                yield bytes(first.length)

    def _stored(self, where: int, length: int) -> bytes:
        return _at_most(self._file, where, length)

    def _compressed(self, group: list[Extent]) -> Iterator[bytes]:
        """Clusters that lie side by side in the file, the first and last maybe wanted in part."""
        begin = group[0].where
        stored: memoryview | None = None
        for extent in group:
            cluster = self._kept(extent.where)
            if cluster is None:
                if stored is None:
                    begin = extent.where
                    stored = memoryview(self._stored(begin, max(map(_end, group)) - begin))
                at = extent.where - begin
                cluster = unpack(self.header, stored[at : at + extent.stored], extent.where)
                if extent.length < len(cluster):
                    self._keep(extent.where, cluster)
            inside = extent.start % len(cluster)
            yield cluster[inside : inside + extent.length]

    def _kept(self, where: int) -> bytes | None:
        with self._lock:
            cluster = self._clusters.get(where)
            if cluster is not None:
                self._clusters.move_to_end(where)
            return cluster

    def _keep(self, where: int, cluster: bytes) -> None:
        with self._lock:
            self._clusters[where] = cluster
            while len(self._clusters) * len(cluster) > _KEPT_BYTES:
                self._clusters.popitem(last=False)


def _side_by_side(extents: Iterable[Extent]) -> Iterator[list[Extent]]:
    """Compressed clusters grouped where the file has them in this order without a gap.

    Each may share its last sector with the next.
    """
    group: list[Extent] = []
    for extent in extents:
        if group and not (
            extent.kind is Kind.COMPRESSED is group[-1].kind
            and group[-1].where < extent.where <= _end(group[-1])
            and _end(extent) - group[0].where <= _READ_MAX
        ):
            yield group
            group = []
        group.append(extent)
    if group:
        yield group


def _end(extent: Extent) -> int:
    return extent.where + extent.stored


def _at_most(device: Device, offset: int, length: int) -> bytes:
    """As many of these bytes as the device has."""
    return (
        device.read_at(offset, max(0, min(length, device.size - offset)))
        if offset < device.size
        else b""
    )
