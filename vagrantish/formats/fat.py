"""The FAT12, FAT16 and FAT32 file systems, with long names, read without mounting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.formats import fat_dir, fat_table
from vagrantish.formats.device import ImageError
from vagrantish.formats.volume import Node, NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.formats.device import Device
    from vagrantish.formats.fat_dir import Entry

_PIECE = 2 << 20
_FOLDER_MAX = 2 << 20  # bytes: 65536 entries, as the format has it


class Fat:
    """A FileSystem. Names are found whatever their case. Raises ImageError when it is none."""

    kind = "vfat"
    warnings: tuple[str, ...] = ()

    def __init__(self, device: Device) -> None:
        if device.size < fat_table.BOOT_BYTES:
            raise ImageError("it is too small for a FAT file system")
        layout = fat_table.parse(device.read_at(0, fat_table.BOOT_BYTES))
        end = layout.data + layout.clusters * layout.cluster
        if end > device.size:
            raise ImageError(
                f"its FAT file system has {end} bytes, and there are {device.size}: it is cut short"
            )
        self._device = device
        self._layout = layout
        self._table = fat_table.Table(device, layout)
        self.uuid = layout.uuid
        self.label = layout.label
        for entry in fat_dir.entries(self._folder_blocks(None)):
            if entry.label:
                self.label = entry.name
                break

    def root(self) -> Node:
        return Node(kind=NodeKind.FOLDER, size=0, handle=None)

    def child(self, folder: Node, name: str) -> Node | None:
        wanted = name.casefold()
        for entry in self._entries(folder):
            if wanted in (entry.name.casefold(), entry.short.casefold()):
                return _node(entry)
        return None

    def children(self, folder: Node) -> Iterator[tuple[str, Node]]:
        for entry in self._entries(folder):
            yield entry.name, _node(entry)

    def target(self, link: Node) -> str:
        raise ImageError(f"FAT has no links, and {link.kind} was taken for one")

    def chunks(self, file: Node) -> Iterator[bytes]:
        entry: Entry = file.handle
        left = entry.size
        wanted = -(-left // self._layout.cluster)
        for piece in self._pieces(entry.cluster, wanted):
            yield piece[:left]
            left -= len(piece)
        if left > 0:
            raise ImageError(f"{entry.name} is cut short: {left} bytes are missing")

    def _entries(self, folder: Node) -> Iterator[Entry]:
        for entry in fat_dir.entries(self._folder_blocks(folder.handle)):
            if not entry.label:
                yield entry

    def _folder_blocks(self, folder: Entry | None) -> Iterator[bytes]:
        """``folder`` None: the root."""
        if folder is None and self._layout.bits != 32:
            yield self._device.read_at(self._layout.root, self._layout.root_bytes)
            return
        first = self._layout.root_cluster if folder is None else folder.cluster
        yield from self._pieces(first, max(_FOLDER_MAX // self._layout.cluster, 1))

    def _pieces(self, first: int, most: int) -> Iterator[bytes]:
        """The chain from ``first``, of at most ``most`` clusters."""
        if self._layout.bits != 32:
            first &= 0xFFFF  # above, OS/2 kept something else
        for cluster, count in self._table.chain(first, most):
            start = self._layout.data + (cluster - 2) * self._layout.cluster
            length = count * self._layout.cluster
            for at in range(0, length, _PIECE):
                yield self._device.read_at(start + at, min(_PIECE, length - at))


def _node(entry: Entry) -> Node:
    kind = NodeKind.FOLDER if entry.folder else NodeKind.FILE
    return Node(kind=kind, size=0 if entry.folder else entry.size, handle=entry)
