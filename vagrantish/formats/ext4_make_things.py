"""What shall be in a new ext4 image: checked, numbered, and given its blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vagrantish.formats import ext4_make_records as records
from vagrantish.formats.device import ImageError
from vagrantish.formats.ext4_make_layout import BLOCK, FIRST_INODE
from vagrantish.formats.volume import NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vagrantish.formats.ext4_make_layout import Blocks
    from vagrantish.formats.ext4_make_records import Extents

_ROOT = 2
_LOST_FOUND, _LOST_FOUND_BLOCKS = "lost+found", 4
_PIECE = 1 << 20
_NAME_MAX, _TARGET_MAX, _FAST_LINK = 255, BLOCK - 1, 60


@dataclass(frozen=True, kw_only=True)
class Item:
    """A file, folder or link to be in the image."""

    path: str  # relative, with slashes; "." is the root, which is there without it
    kind: NodeKind
    mode: int  # permission bits
    uid: int = 0
    gid: int = 0
    data: bytes = b""  # of a file,
    source: Path | None = None  # or where its bytes are
    target: str = ""  # of a link
    modified: int = 0  # seconds since 1970


@dataclass(kw_only=True)
class Thing:
    """An item on its way into the image."""

    item: Item
    number: int  # of its inode
    parent: int
    children: list[Thing] = field(default_factory=list)
    content: bytes = b""
    size: int = 0
    extents: Extents = ()
    nodes: Extents = ()  # blocks of its extent tree

    def place(self, blocks: Blocks) -> None:
        """Raises ImageError when it does not fit, OSError when its source cannot be looked at."""
        self.content = self._content()
        source = self.item.source
        self.size = source.stat().st_size if source else len(self.content)
        if self._is_fast_link:
            return
        self.extents = blocks.take(-(-self.size // BLOCK))
        if len(self.extents) > records.EXTENTS_IN_INODE:
            self.nodes = blocks.take(-(-len(self.extents) // records.EXTENTS_IN_BLOCK))
            if sum(count for _, count in self.nodes) > records.EXTENTS_IN_INODE:
                raise ImageError(f"{self.item.path} is too large for an ext4 image made here")

    @property
    def _is_fast_link(self) -> bool:
        return self.item.kind is NodeKind.LINK and self.size < _FAST_LINK

    def _content(self) -> bytes:
        if self.item.kind is NodeKind.LINK:
            return self.item.target.encode("utf-8", "surrogateescape")
        if self.item.kind is NodeKind.FILE:
            return self.item.data
        children = [(_name(child), child.number, child.item.kind) for child in self.children]
        least = _LOST_FOUND_BLOCKS if self.item.path == _LOST_FOUND else 1
        return records.folder_data(self.number, self.parent, children, blocks=least)

    def inode(self) -> records.InodeRecord:
        item = self.item
        nodes = records.node_blocks(self.extents, self.nodes)
        return records.InodeRecord(
            kind=item.kind,
            mode=item.mode & 0o7777,
            uid=item.uid,
            gid=item.gid,
            size=self.size,
            blocks=sum(count for _, count in (*self.extents, *self.nodes)),
            links=2 + sum(child.item.kind is NodeKind.FOLDER for child in self.children)
            if item.kind is NodeKind.FOLDER
            else 1,
            modified=item.modified,
            extents=not self._is_fast_link,
            map=self.content if self._is_fast_link else records.extent_root(self.extents, nodes),
        )

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """(byte of the image, what goes there), all but the inode. Raises ImageError, OSError."""
        for at, node in records.node_blocks(self.extents, self.nodes):
            yield at * BLOCK, node
        if self.item.source:
            yield from self._source_pieces(self.item.source)
            return
        done = 0
        for first, count in self.extents:
            yield first * BLOCK, self.content[done : done + count * BLOCK]
            done += count * BLOCK

    def _source_pieces(self, source: Path) -> Iterator[tuple[int, bytes]]:
        left = self.size
        with source.open("rb") as file:
            for first, count in self.extents:
                at, end = first * BLOCK, (first + count) * BLOCK
                while at < end and left:
                    data = file.read(min(_PIECE, end - at, left))
                    if not data:
                        raise ImageError(f"{source} became shorter while it was read")
                    yield at, data
                    at, left = at + len(data), left - len(data)


def things_of(items: Sequence[Item]) -> list[Thing]:
    """The root first, then "lost+found", then the items. Raises ImageError for bad paths."""
    top = next((item for item in items if item.path == "."), None)
    if top and top.kind is not NodeKind.FOLDER:
        raise ImageError("the root is a folder and nothing else")
    root = Thing(
        item=top or Item(path=".", kind=NodeKind.FOLDER, mode=0o755), number=_ROOT, parent=_ROOT
    )
    found = {".": root}
    lost = Item(path=_LOST_FOUND, kind=NodeKind.FOLDER, mode=0o700)
    for number, item in enumerate(
        (lost, *(item for item in items if item is not top)), FIRST_INODE
    ):
        _check(item)
        above, _, _ = item.path.rpartition("/")
        parent = found.get(above or ".")
        if item.path in found:
            raise ImageError(f"{item.path} is to be in it twice")
        if parent is None or parent.item.kind is not NodeKind.FOLDER:
            raise ImageError(f"{item.path} is to be in a folder that is not listed before it")
        thing = Thing(item=item, number=number, parent=parent.number)
        parent.children.append(thing)
        found[item.path] = thing
    return list(found.values())


def _check(item: Item) -> None:
    if item.kind is NodeKind.OTHER:
        raise ImageError(f"{item.path} is neither a file, a folder nor a link")
    words = item.path.split("/")
    if any(
        word in ("", ".", "..") or "\0" in word or len(_raw(word)) > _NAME_MAX for word in words
    ):
        raise ImageError(f"{item.path!r} is no path a file can have")
    if item.kind is NodeKind.LINK and not 0 < len(_raw(item.target)) <= _TARGET_MAX:
        raise ImageError(f"{item.path} is a link to nothing, or to more than {_TARGET_MAX} bytes")


def _name(thing: Thing) -> bytes:
    return _raw(thing.item.path.rpartition("/")[2])


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
