"""Where everything goes on a new ext4 file system: groups, their tables, and free blocks.

Every group keeps its own bitmaps and inodes, and what is in use of it is always its beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.formats.device import ImageError
from vagrantish.formats.ext4_super import has_sparse_super

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 4096
GROUP_BLOCKS = BLOCK * 8  # one bitmap's bits
INODE_BYTES = 256
DESCRIPTOR_BYTES = 32
FIRST_INODE = 11  # those below have uses of their own
_BYTES_PER_INODE = 16384
_INODES_PER_BLOCK = BLOCK // INODE_BYTES
_SIZE_MIN, _SIZE_MAX = 8 << 20, 16 << 40
_LAST_GROUP_MIN = 50  # blocks of its own, else it is left off; as mke2fs does
# Blocks of the file system below → blocks of its journal; lib/ext2fs/mkjournal.c of e2fsprogs.
_JOURNALS = ((32768, 1024), (262144, 4096), (524288, 8192), (4194304, 16384))
_JOURNAL_MAX = 32768


@dataclass(frozen=True, kw_only=True)
class Layout:
    blocks: int
    groups: int
    inodes_per_group: int
    journal_blocks: int

    @property
    def inodes(self) -> int:
        return self.groups * self.inodes_per_group

    @property
    def table_blocks(self) -> int:
        """Of the inodes of one group."""
        return self.inodes_per_group // _INODES_PER_BLOCK

    @property
    def descriptor_blocks(self) -> int:
        return -(-self.groups * DESCRIPTOR_BYTES // BLOCK)

    def bitmaps(self, group: int) -> int:
        """The first block that is not a copy of the superblock and descriptors.

        There is the bitmap of blocks, then that of inodes, then the inodes.
        """
        copy = 1 + self.descriptor_blocks if has_sparse_super(group) else 0
        return group * GROUP_BLOCKS + copy

    def data(self, group: int) -> int:
        return self.bitmaps(group) + 2 + self.table_blocks

    def end(self, group: int) -> int:
        return min((group + 1) * GROUP_BLOCKS, self.blocks)

    def inode_at(self, number: int) -> int:
        """Its byte in the image."""
        group, index = divmod(number - 1, self.inodes_per_group)
        return (self.bitmaps(group) + 2) * BLOCK + index * INODE_BYTES


def layout_of(size_bytes: int, inodes: int) -> Layout:
    """For an image of that size with that many things in it. Raises ImageError."""
    if not _SIZE_MIN <= size_bytes <= _SIZE_MAX - BLOCK:
        raise ImageError(
            f"{size_bytes} bytes is no size for an ext4 file system made here: it takes 8 MiB to 16 TiB"
        )
    blocks = size_bytes // BLOCK
    groups = -(-blocks // GROUP_BLOCKS)
    wanted = max(-(-size_bytes // _BYTES_PER_INODE), inodes + FIRST_INODE)
    per_group = -(-wanted // groups // _INODES_PER_BLOCK) * _INODES_PER_BLOCK
    if per_group > GROUP_BLOCKS:
        raise ImageError(f"{inodes} files are too many for {size_bytes} bytes")
    journal = next((size for limit, size in _JOURNALS if blocks < limit), _JOURNAL_MAX)
    layout = Layout(
        blocks=blocks, groups=groups, inodes_per_group=per_group, journal_blocks=journal
    )
    if groups > 1 and layout.end(groups - 1) - layout.data(groups - 1) < _LAST_GROUP_MIN:
        blocks = (groups - 1) * GROUP_BLOCKS
        return layout_of(blocks * BLOCK, inodes)
    return layout


class Blocks:
    """Gives out blocks from the beginning on."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._group = 0
        self._next = layout.data(0)

    def take(self, count: int) -> tuple[tuple[int, int], ...]:
        """(first block, how many) of ``count`` blocks. Raises ImageError when they are too many."""
        return tuple(self._pieces(count))

    def _pieces(self, count: int) -> Iterator[tuple[int, int]]:
        while count:
            some = min(count, self._layout.end(self._group) - self._next)
            if some > 0:
                yield self._next, some
                self._next += some
                count -= some
                continue
            self._group += 1
            if self._group == self._layout.groups:
                raise ImageError(
                    f"its files do not fit {self._layout.blocks * BLOCK} bytes: give it more"
                )
            self._next = self._layout.data(self._group)

    def used_until(self, group: int) -> int:
        """The first free block of a group."""
        if group < self._group:
            return self._layout.end(group)
        return self._next if group == self._group else self._layout.data(group)
