"""A device as recovery of its ext3 or ext4 journal would leave it; nothing is written."""

from __future__ import annotations

import struct
from bisect import bisect_left
from typing import TYPE_CHECKING

from vagrantish.formats import ext4_crc
from vagrantish.formats.device import ImageError, check_range
from vagrantish.formats.ext4_journal import MAGIC, Journal, changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vagrantish.formats.device import Device
    from vagrantish.formats.ext4_journal import Change, Write
    from vagrantish.formats.ext4_map import Run
    from vagrantish.formats.ext4_super import Superblock

NOT_REPLAYED = "its journal was not replayed, so the newest changes may be missing"
ELSEWHERE = f"{NOT_REPLAYED}: it is on another device"
_DAMAGED = "the last changes in its journal are damaged and were left out"
_FAST = "the newest changes may be missing: its journal has fast commits, which vx cannot read"
_SIZE_MAX = 1 << 30
_CHECKED_AT_ONCE = 4 << 20  # bytes


def replayed(
    device: Device, parsed: Superblock, size: int, runs: Iterable[Run]
) -> tuple[Device, tuple[str, ...]]:
    """The device with every committed change, and what people must be told.

    ``size`` and ``runs`` are those of the journal's inode. Raises ImageError where the journal
    cannot be replayed.
    """
    if not parsed.block <= size <= _SIZE_MAX:
        raise ImageError(f"it claims {size} bytes")
    journal = Journal(device, parsed.block, runs)
    if not journal.start:
        return device, ()
    index: dict[int, Write] = {}
    sequence = journal.sequence
    for change, is_whole in _checked(journal, changes(journal, parsed.blocks)):
        if not is_whole:
            return Replayed(device, parsed.block, index), (_DAMAGED,)
        index.update((write.block, write) for write in change.writes)
        for number in change.revoked:
            index.pop(number, None)
        sequence = (change.sequence + 1) & 0xFFFFFFFF
    warnings = (_FAST,) if journal.has_fast_commit(sequence) else ()
    return Replayed(device, parsed.block, index), warnings


class Replayed:
    """A device of which some blocks are read from other places of it."""

    def __init__(self, device: Device, block: int, index: Mapping[int, Write]) -> None:
        self._device = device
        self._block = block
        self._index = index
        self._numbers = sorted(index)

    @property
    def size(self) -> int:
        return self._device.size

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        data = self._device.read_at(offset, length)
        first = bisect_left(self._numbers, offset // self._block)
        last = bisect_left(self._numbers, -(-(offset + length) // self._block))
        if first >= last:
            return data
        patched = bytearray(data)
        for number in self._numbers[first:last]:
            start = number * self._block - offset
            low, high = max(start, 0), min(start + self._block, length)
            patched[low:high] = self._copy(self._index[number])[low - start : high - start]
        return bytes(patched)

    def _copy(self, write: Write) -> bytes:
        data = self._device.read_at(write.place, self._block)
        return MAGIC + data[4:] if write.escaped else data


def _checked(journal: Journal, found: Iterable[Change]) -> Iterator[tuple[Change, bool]]:
    """Each change, and whether it is possible and its checksums are right.

    Many are summed up at once: that is what makes it quick.
    """
    waiting: list[Change] = []
    blocks = 0
    for change in found:
        waiting.append(change)
        blocks += len(change.writes) + len(change.seals)
        if blocks * journal.size >= _CHECKED_AT_ONCE:
            yield from zip(waiting, _are_whole(journal, waiting), strict=True)
            waiting, blocks = [], 0
    yield from zip(waiting, _are_whole(journal, waiting), strict=True)


def _are_whole(journal: Journal, some: Sequence[Change]) -> list[bool]:
    if not journal.checked:
        return [change.possible for change in some]
    wrong = {change.sequence for change in some if not change.possible}
    sums = list(_sums(journal, some))
    step = max(_CHECKED_AT_ONCE // journal.size, 1)
    for at in range(0, len(sums), step):
        part = sums[at : at + step]
        data = b"".join(_unsealed(journal.read(place), seal) for _, place, seal, _, _ in part)
        found = ext4_crc.crc32c_each([start for _, _, _, start, _ in part], data)
        for (sequence, place, seal, _, wanted), value in zip(part, found, strict=True):
            if seal is not None:
                wanted = struct.unpack_from(">I", journal.read(place), seal)[0]
            elif not journal.csum3:
                value &= 0xFFFF
            if value != wanted:
                wrong.add(sequence)
    return [change.sequence not in wrong for change in some]


def _sums(
    journal: Journal, some: Iterable[Change]
) -> Iterator[tuple[int, int, int | None, int, int]]:
    """(number of the change, byte of the block, byte in it of its sum, start, sum if known)."""
    for change in some:
        for place, seal in change.seals:
            yield change.sequence, place, seal, journal.seed, 0
        start = ext4_crc.crc32c(journal.seed, struct.pack(">I", change.sequence))
        for write in change.writes:
            yield change.sequence, write.place, None, start, write.checksum


def _unsealed(block: bytes, seal: int | None) -> bytes:
    return block if seal is None else block[:seal] + bytes(4) + block[seal + 4 :]
