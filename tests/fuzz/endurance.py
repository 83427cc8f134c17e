"""A file system read with a few of its bytes changed: right data, or an ImageError, and soon."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from vagrantish.formats.device import ImageError, check_range
from vagrantish.formats.volume import NodeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vagrantish.formats.device import Device
    from vagrantish.formats.volume import FileSystem, Node

READ_MAX = 512 << 20  # bytes a look at a small image may read in all
_LOOK_S = 10
_NODES_MAX, _DEPTH_MAX, _FILE_MAX = 600, 12, 8 << 20
_NASTY = (0, 1, 0x7F, 0x80, 0xFF)


class Damaged:
    """Bytes, some of them changed, cut off at ``size``; notes what is read."""

    def __init__(self, data: bytes, changed: dict[int, int], size: int) -> None:
        self._data = data
        self._changed = changed
        self.size = size
        self.read = 0
        self.ranges: set[tuple[int, int]] = set()

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        self.read += length
        assert self.read <= READ_MAX, "it reads on and on"
        self.ranges.add((offset, length))
        found = self._data[offset : offset + length]
        hits = [at for at in self._changed if offset <= at < offset + length]
        if not hits:
            return found
        changed = bytearray(found)
        for at in hits:
            changed[at - offset] = self._changed[at]
        return bytes(changed)


def look(system: FileSystem) -> int:
    """Visit everything, within bounds; how many entries there were. Damage is passed over."""
    seen = 0
    for node in _walk(system):
        seen += 1
        if seen >= _NODES_MAX:
            break
        try:
            if node.kind is NodeKind.FILE:
                _read(system, node)
            elif node.kind is NodeKind.LINK:
                assert len(system.target(node)) <= 4096
        except ImageError:
            continue
    return seen


def _walk(system: FileSystem) -> Iterator[Node]:
    waiting = [(system.root(), 0)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            for _, node in system.children(folder):
                yield node
                if node.kind is NodeKind.FOLDER and depth < _DEPTH_MAX:
                    waiting.append((node, depth + 1))
        except ImageError:
            continue


def _read(system: FileSystem, node: Node) -> None:
    got = 0
    for chunk in system.chunks(node):
        got += len(chunk)
        assert len(chunk) <= 8 << 20
        if got > _FILE_MAX:
            return
    assert got == node.size


def endure(
    data: bytes, open_it: Callable[[Device], FileSystem], rounds: int, *, seed: int = 1
) -> int:
    """Change bytes where a reader looks, ``rounds`` times; how often that went unnoticed."""
    whole = Damaged(data, {}, len(data))
    look(open_it(whole))
    places = [(offset, length) for offset, length in whole.ranges if 0 < length <= 1 << 16]
    unnoticed = 0
    for number in range(rounds):
        chance = random.Random(seed * 1_000_003 + number)
        changed = {}
        for _ in range(chance.choice((1, 1, 2, 4, 16))):
            offset, length = chance.choice(places)
            at = offset + chance.randrange(length)
            bit = data[at] ^ 1 << chance.randrange(8)
            changed[at] = chance.choice((bit, chance.choice(_NASTY), chance.randrange(256)))
        size = len(data) if chance.random() < 0.9 else chance.randrange(len(data))
        started = time.monotonic()
        try:
            look(open_it(Damaged(data, changed, size)))
            unnoticed += 1
        except ImageError:
            pass
        assert time.monotonic() - started < _LOOK_S, f"seed {seed}, example {number}: {changed}"
    return unnoticed
