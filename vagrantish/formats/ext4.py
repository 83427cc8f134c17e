"""The ext2, ext3 and ext4 file systems, read without mounting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.formats import ext4_dir, ext4_inode, ext4_replay, ext4_super
from vagrantish.formats.device import ImageError
from vagrantish.formats.ext4_store import Store
from vagrantish.formats.volume import ENTRIES_MAX, Node, NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.formats.device import Device
    from vagrantish.formats.ext4_inode import Inode

_ROOT = 2
_PIECE = 2 << 20
_ZEROS = bytes(_PIECE)
_FOLDER_MAX = 64 << 20  # bytes: more than volume.ENTRIES_MAX of the longest names take
_TARGET_MAX = 4096


class Ext4:
    """A FileSystem. Changes that only its journal holds are seen too.

    Raises ImageError when it is none, or has features vx does not know.
    """

    def __init__(self, device: Device) -> None:
        self._store, self.warnings = _recovered(Store(device))
        self.kind = self._store.super.kind
        self.label = self._store.super.label
        self.uuid = self._store.super.uuid

    def root(self) -> Node:
        node = self._node(_ROOT)
        if node.kind is not NodeKind.FOLDER:
            raise ImageError("the root of its ext file system is not a folder")
        return node

    def child(self, folder: Node, name: str) -> Node | None:
        inode: Inode = folder.handle
        wanted = name.encode("utf-8", "surrogateescape")
        if inode.flags & ext4_inode.CASEFOLD:
            folded = name.casefold()
            for found, number in self._entries(inode):
                if _text(found).casefold() == folded:
                    return self._node(number)
            return None
        for found, number in self._entries(inode, wanted):
            if found == wanted:
                return self._node(number)
        return None

    def children(self, folder: Node) -> Iterator[tuple[str, Node]]:
        for name, number in self._entries(folder.handle):
            yield _text(name), self._node(number)

    def target(self, link: Node) -> str:
        inode: Inode = link.handle
        if inode.size > _TARGET_MAX:
            raise ImageError(f"a link claims a target of {inode.size} bytes")
        return _text(b"".join(self.chunks(link)))

    def chunks(self, file: Node) -> Iterator[bytes]:
        inode: Inode = file.handle
        inode.check_readable()
        if inode.holds_data:
            data = (inode.map + inode.inline)[: inode.size]
            if len(data) < inode.size:
                raise ImageError(f"the data in inode {inode.number} is cut short")
            yield data
            return
        block, left = self._store.super.block, inode.size
        for run in self._store.runs(inode):
            for at in range(0, run.count * block, _PIECE):
                length = min(_PIECE, run.count * block - at, left)
                if run.physical:
                    yield self._store.device.read_at(run.physical * block + at, length)
                else:
                    yield _ZEROS[:length]
                left -= length

    def _folder_blocks(self, inode: Inode) -> Iterator[bytes]:
        """The blocks of a folder, or what stands for them in its inode."""
        inode.check_readable()
        if inode.size > _FOLDER_MAX:
            raise ImageError(f"the folder with inode {inode.number} claims {inode.size} bytes")
        if inode.flags & ext4_inode.INLINE:
            yield inode.map[4:]  # after its parent's number
            yield inode.inline
            return
        block = self._store.super.block
        if inode.size % block:
            raise ImageError(f"the folder with inode {inode.number} claims {inode.size} bytes")
        for run in self._store.runs(inode):
            if not run.physical:
                raise ImageError(f"the folder with inode {inode.number} has a hole")
            for number in range(run.physical, run.physical + run.count):
                yield self._store.block(number)

    def _entries(self, inode: Inode, wanted: bytes = b"") -> Iterator[tuple[bytes, int]]:
        """(name, inode number); blocks without ``wanted`` in them are passed over."""
        typed = bool(self._store.super.incompat & ext4_super.FILETYPE)
        left = ENTRIES_MAX
        for data in self._folder_blocks(inode):
            if wanted not in data:
                continue
            for entry in ext4_dir.entries(data, inode.number, typed=typed):
                left -= 1
                if left < 0:
                    raise ImageError(
                        f"the folder with inode {inode.number} has over {ENTRIES_MAX} entries"
                    )
                yield entry

    def _node(self, number: int) -> Node:
        inode = self._store.inode(number)
        return Node(kind=inode.kind, size=inode.size, handle=inode, mode=inode.mode)


def _recovered(store: Store) -> tuple[Store, tuple[str, ...]]:
    """The file system with what its journal holds, and what is to be said about that."""
    parsed = store.super
    if not parsed.incompat & ext4_super.RECOVER:
        return store, ()
    if not parsed.journal_inode:
        return store, (ext4_replay.ELSEWHERE,)
    try:
        inode = store.inode(parsed.journal_inode)
        device, warnings = ext4_replay.replayed(store.device, parsed, inode.size, store.runs(inode))
        return Store(device), warnings
    except ImageError as error:
        return store, (f"{ext4_replay.NOT_REPLAYED}: {error}",)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
