"""Where the bytes of an ext file lie: extent trees, and the lists of blocks before them.

Layout: Documentation/filesystems/ext4/ifork.rst of Linux.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.formats.device import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_EXTENT_MAGIC = 0xF30A
_DEPTH_MAX = 5
_UNWRITTEN = 32768
_DIRECT = 12


@dataclass(frozen=True, slots=True)
class Run:
    """Blocks of a file that lie side by side. ``physical`` 0: they read as zeros."""

    logical: int
    physical: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """What a map may point to, and how its own blocks are read."""

    size: int  # bytes of one
    count: int  # of them in the file system
    read: Callable[[int], bytes]


def extent_runs(blocks: Blocks, root: bytes) -> Iterator[Run]:
    """Of the tree whose root is ``root``, the 60 bytes in the inode. Raises ImageError."""
    at = 0
    for run in _tree(blocks, root, None, 0):
        if run.logical < at:
            raise ImageError("an extent lies before the one it follows")
        at = run.logical + run.count
        yield run


def _tree(blocks: Blocks, node: bytes, depth: int | None, lowest: int) -> Iterator[Run]:
    """The extents below ``node``, which must be ``depth`` above the leaves if that is known."""
    magic, entries, most, found = struct.unpack_from("<HHHH", node)
    inner = depth is not None
    if (
        magic != _EXTENT_MAGIC
        or not entries <= most <= (len(node) - 12) // 12
        or found > _DEPTH_MAX
        or (inner and (found != depth or not entries))
        or (found and not entries)
    ):
        raise ImageError("an extent tree is damaged")
    for at in range(12, 12 + 12 * entries, 12):
        logical, a, b, c = struct.unpack_from("<IHHI", node, at)
        if logical < lowest:
            raise ImageError("an extent tree is damaged: it is out of order")
        if not found:
            length = a if a <= _UNWRITTEN else a - _UNWRITTEN
            physical = b << 32 | c
            if not length or not 0 < physical <= blocks.count - length:
                raise ImageError(f"an extent of {length} blocks is said to start at {physical}")
            lowest = logical + length
            yield Run(logical, physical if a <= _UNWRITTEN else 0, length)
            continue
        low, high = struct.unpack_from("<IH", node, at + 4)
        child = _inner_block(blocks, high << 32 | low)
        yield from _tree(blocks, child, found - 1, logical)
        lowest = logical + 1


def _inner_block(blocks: Blocks, number: int) -> bytes:
    if not 0 < number < blocks.count:
        raise ImageError(f"a file's map is said to go on in block {number}")
    return blocks.read(number)


def listed_runs(blocks: Blocks, root: bytes, wanted: int) -> Iterator[Run]:
    """Of the first ``wanted`` blocks, by the 15 numbers in the inode. Raises ImageError.

    Twelve are of blocks, then one each of a list, a list of lists, and a list of those.
    """
    numbers = struct.unpack("<15I", root)
    yield from _listed(blocks, numbers[:_DIRECT], 0, 0, wanted)
    logical = _DIRECT
    for depth, number in enumerate(numbers[_DIRECT:]):
        yield from _listed(blocks, (number,), depth + 1, logical, wanted)
        logical += (blocks.size // 4) ** (depth + 1)


def _listed(
    blocks: Blocks, numbers: tuple[int, ...], depth: int, logical: int, wanted: int
) -> Iterator[Run]:
    """``numbers`` name blocks ``depth`` lists above the data; the first stands for ``logical``."""
    span = (blocks.size // 4) ** depth
    if not any(numbers):
        return
    for number in numbers:
        if logical >= wanted:
            return
        if number and depth:
            below = struct.unpack(f"<{blocks.size // 4}I", _inner_block(blocks, number))
            yield from _listed(blocks, below, depth - 1, logical, wanted)
        elif number:
            if number >= blocks.count:
                raise ImageError(f"a file is said to have block {number} of {blocks.count}")
            yield Run(logical, number, 1)
        logical += span


def joined(runs: Iterable[Run], wanted: int) -> Iterator[Run]:
    """The first ``wanted`` blocks without a gap: neighbours as one, and holes as runs of zeros."""
    last = Run(0, 0, 0)
    for run in runs:
        if run.logical >= wanted:
            break
        gap = run.logical - last.logical - last.count
        if gap:
            if last.count:
                yield last
            last = Run(run.logical - gap, 0, gap)
        follows = last.physical + last.count if last.physical else 0
        if last.count and run.physical == follows:
            last = Run(last.logical, last.physical, last.count + run.count)
            continue
        if last.count:
            yield last
        last = run
    end = last.logical + last.count
    if last.count:
        yield Run(last.logical, last.physical, last.count - max(end - wanted, 0))
    if end < wanted:
        yield Run(end, 0, wanted - end)
