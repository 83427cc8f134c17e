"""Makes new ext4 images with files in them; the same bytes for the same input."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from uuid import UUID

from vagrantish.formats import ext4_make_groups as groups
from vagrantish.formats import ext4_make_records as records
from vagrantish.formats.device import ImageError
from vagrantish.formats.ext4_make_groups import JOURNAL_INODE
from vagrantish.formats.ext4_make_layout import BLOCK, Blocks, layout_of
from vagrantish.formats.ext4_make_things import Item, things_of
from vagrantish.formats.sparse import SparseFile
from vagrantish.formats.volume import NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vagrantish.formats.ext4_make_layout import Layout
    from vagrantish.formats.ext4_make_things import Thing

__all__ = ["Item", "make_ext4"]

_LABEL_MAX = 16


def make_ext4(
    target: Path, size_bytes: int, *, label: str, uuid: str, items: Sequence[Item] = ()
) -> None:
    """A new image at ``target`` with ``items``, folders before what is in them.

    It has an empty journal, and takes no space but for what is used. Raises ImageError where the
    items are not possible or do not fit, and OSError (FileExistsError when ``target`` exists);
    nothing is then left behind.
    """
    name = label.encode()
    if len(name) > _LABEL_MAX:
        raise ImageError(f"the label {label} has more than {_LABEL_MAX} bytes")
    things = things_of(items)
    layout = layout_of(size_bytes, len(things))
    blocks = Blocks(layout)
    for thing in things:
        thing.place(blocks)
    pieces = _pieces(layout, blocks, things, name, UUID(uuid).bytes)
    with SparseFile(target) as file:
        try:
            for at, data in pieces:
                file.write_at(at, data)
            file.finish(size_bytes)
        except BaseException:
            target.unlink()
            raise


def _pieces(
    layout: Layout, blocks: Blocks, things: Sequence[Thing], label: bytes, uuid: bytes
) -> Iterator[tuple[int, bytes]]:
    """(byte of the image, what goes there)."""
    extents = blocks.take(layout.journal_blocks)
    journal = records.InodeRecord(
        kind=NodeKind.FILE,
        mode=0o600,
        size=layout.journal_blocks * BLOCK,
        blocks=layout.journal_blocks,
        map=records.extent_root(extents),
    )
    yield layout.inode_at(JOURNAL_INODE), bytes(journal)
    yield extents[0][0] * BLOCK, records.journal_superblock(layout.journal_blocks, uuid)
    for thing in things:
        yield layout.inode_at(thing.number), bytes(thing.inode())
        yield from thing.pieces()
    folders = [thing for thing in things if thing.item.kind is NodeKind.FOLDER]
    yield from groups.pieces(
        groups.Filled(
            layout=layout,
            blocks=blocks,
            last_inode=max(thing.number for thing in things),
            folders=Counter((thing.number - 1) // layout.inodes_per_group for thing in folders),
            journal_map=journal.map,
            journal_bytes=journal.size,
            label=label,
            uuid=uuid,
        )
    )
