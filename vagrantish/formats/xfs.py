"""XFS file systems, versions 4 and 5, read without mounting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.formats import xfs_dir, xfs_inode, xfs_log, xfs_super
from vagrantish.formats.device import ImageError, Window
from vagrantish.formats.foldercache import FolderCache
from vagrantish.formats.volume import Node, NodeKind
from vagrantish.formats.xfs_inode import Format, Inode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.formats.device import Device
    from vagrantish.formats.xfs_inode import Extent

_PIECE = 1 << 20
_ZEROS = bytes(_PIECE)
_TARGET_MAX = 1024  # of a link, as XFS has it
_LINK_MAGIC, _LINK_HEADER = b"XSLM", 56
_FOLDER_MAX = 64 << 20  # bytes: more than ENTRIES_MAX of the longest names take
_DIRTY = "its XFS journal holds changes that were not replayed: the newest ones may be missing"
_ELSEWHERE = "its XFS journal is on another device: the newest changes may be missing"


class Xfs:
    """A FileSystem. Raises ImageError when it is not XFS, or has features vx does not know."""

    kind = "xfs"

    def __init__(self, device: Device) -> None:
        head = device.read_at(0, min(device.size, xfs_super.HEAD_BYTES))
        self._device = device
        self._super = xfs_super.parse(head, device.size)
        self.label = self._super.label
        self.uuid = self._super.uuid
        self.warnings = self._log_warnings()
        self._folders: FolderCache[int] = FolderCache()  # inode numbers

    def root(self) -> Node:
        node = self._node(self._super.root)
        if node.kind is not NodeKind.FOLDER:
            raise ImageError("the root of its XFS file system is not a folder")
        return node

    def child(self, folder: Node, name: str) -> Node | None:
        number = self._names(folder).get(name)
        return None if number is None else self._node(number)

    def children(self, folder: Node) -> Iterator[tuple[str, Node]]:
        for name, number in self._names(folder).items():
            yield name, self._node(number)

    def target(self, link: Node) -> str:
        inode: Inode = link.handle
        if inode.size > _TARGET_MAX:
            raise ImageError(f"a link claims a target of {inode.size} bytes")
        if inode.format is Format.LOCAL:
            data = inode.fork[: inode.size]
        else:
            data = b"".join(self._link_pieces(inode))[: inode.size]
        if len(data) < inode.size:
            raise ImageError(f"the link of inode {inode.number} is cut short")
        return data.decode("utf-8", "surrogateescape")

    def chunks(self, file: Node) -> Iterator[bytes]:
        inode: Inode = file.handle
        if inode.format is Format.LOCAL:
            if inode.size > len(inode.fork):
                raise ImageError(f"the file of inode {inode.number} is cut short")
            yield inode.fork[: inode.size]
            return
        position = 0
        for extent in xfs_inode.extents(self._device, self._super, inode):
            start = min(extent.offset * self._super.block, inode.size)
            end = min(start + extent.count * self._super.block, inode.size)
            yield from _zeros(start - position)
            if extent.unwritten:
                yield from _zeros(end - start)
            else:
                yield from self._pieces(extent, end - start)
            position = end
        yield from _zeros(inode.size - position)

    def _pieces(self, extent: Extent, length: int) -> Iterator[bytes]:
        offset = self._super.byte_of(extent.start, extent.count)
        for start in range(0, length, _PIECE):
            yield self._device.read_at(offset + start, min(_PIECE, length - start))

    def _link_pieces(self, inode: Inode) -> Iterator[bytes]:
        for extent in xfs_inode.extents(self._device, self._super, inode):
            if extent.count * self._super.block > 1 << 17:
                raise ImageError(f"the link of inode {inode.number} takes {extent.count} blocks")
            data = b"".join(self._pieces(extent, extent.count * self._super.block))
            if self._super.version == 4:
                yield data
                continue
            for start in range(0, len(data), self._super.block):
                block = data[start : start + self._super.block]
                used = int.from_bytes(block[8:12], "big")
                if not block.startswith(_LINK_MAGIC) or used > len(block) - _LINK_HEADER:
                    raise ImageError(f"the link of inode {inode.number} is damaged")
                yield block[_LINK_HEADER : _LINK_HEADER + used]

    def _names(self, folder: Node) -> dict[str, int]:
        inode: Inode = folder.handle
        names = self._folders.get(inode.number)
        return self._folders.put(inode.number, self._entries(inode)) if names is None else names

    def _entries(self, inode: Inode) -> Iterator[tuple[str, int]]:
        ftype = self._super.ftype
        if inode.format is Format.LOCAL:
            yield from xfs_dir.short_entries(inode.fork, ftype=ftype)
            return
        for data in self._folder_blocks(inode):
            yield from xfs_dir.block_entries(data, ftype=ftype)

    def _folder_blocks(self, inode: Inode) -> Iterator[bytes]:
        """Data blocks of a folder; one may be put together from several extents."""
        size, left, waiting = self._super.folder_block, _FOLDER_MAX, b""
        for extent in xfs_inode.extents(self._device, self._super, inode):
            if extent.offset * self._super.block >= xfs_dir.DATA_END:
                break
            left -= extent.count * self._super.block
            if left < 0:
                raise ImageError(f"the folder of inode {inode.number} is too large")
            for piece in self._pieces(extent, extent.count * self._super.block):
                waiting += piece
                whole = len(waiting) // size * size
                for start in range(0, whole, size):
                    yield waiting[start : start + size]
                waiting = waiting[whole:]
        if waiting:
            raise ImageError(f"the folder of inode {inode.number} is cut short")

    def _node(self, number: int) -> Node:
        inode = xfs_inode.read(self._device, self._super, number)
        return Node(kind=inode.kind, size=inode.size, handle=inode, mode=inode.mode)

    def _log_warnings(self) -> tuple[str, ...]:
        if not self._super.log_start:
            return (_ELSEWHERE,)
        offset = self._super.byte_of(self._super.log_start, self._super.log_blocks)
        log = Window(self._device, offset, self._super.log_blocks * self._super.block)
        return () if xfs_log.is_clean(log) else (_DIRTY,)


def _zeros(length: int) -> Iterator[bytes]:
    while length > 0:
        yield _ZEROS[:length]
        length -= _PIECE
