"""The journal of ext3 and ext4, replayed in memory: a device as recovery would leave it.

Layout: Documentation/filesystems/ext4/journal.rst of Linux; what counts as written follows
fs/jbd2/recovery.c. All numbers are big-endian.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from vagrantish.formats import ext4_crc
from vagrantish.formats.device import ImageError, check_range

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vagrantish.formats.device import Device
    from vagrantish.formats.ext4_map import Run
    from vagrantish.formats.ext4_super import Superblock

NOT_REPLAYED = "its journal was not replayed, so the newest changes may be missing"
ELSEWHERE = f"{NOT_REPLAYED}: it is on another device"
_DAMAGED = "the last change in its journal is damaged and was left out"
_FAST = "the newest changes may be missing: its journal has fast commits, which vx cannot read"

_MAGIC = b"\xc0\x3b\x39\x98"
_DESCRIPTOR, _COMMIT, _SUPER_V1, _SUPER_V2, _REVOKE = 1, 2, 3, 4, 5
_BITS64, _CSUM2, _CSUM3, _FAST_COMMIT, _KNOWN = 0x2, 0x8, 0x10, 0x20, 0x3F
_ESCAPED, _SAME_UUID, _LAST = 1, 2, 8
_FAST_HEAD, _FAST_BLOCKS = 9, 256
_SIZE_MAX = 1 << 30
_BLOCKS_MAX = 1 << 18  # kept in the index: some 60 MB
_CHECKED_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class _Write:
    block: int  # of the file system
    place: int  # byte of the device where the journal has it
    escaped: bool  # it started like a block of the journal, so its first bytes were zeroed
    checksum: int


@dataclass(kw_only=True)
class _Change:
    """One transaction, as far as it was read."""

    writes: list[_Write] = field(default_factory=list)
    revoked: list[int] = field(default_factory=list)
    whole: bool = True  # every checksum so far was right


class _Journal:
    """Its own blocks, by number."""

    def __init__(self, device: Device, parsed: Superblock, runs: Iterable[Run]) -> None:
        self._device = device
        self._runs = tuple(runs)
        self._starts = [run.logical for run in self._runs]
        self.size = parsed.block
        self.end = 1  # until the superblock has told
        head = self.block(0)
        kind, size, end, first, sequence, start = struct.unpack_from(">4xI4xIIIII", head)
        self._check_super(head, kind, size)
        features = struct.unpack_from(">I", head, 0x28)[0] if kind == _SUPER_V2 else 0
        if features & ~_KNOWN:
            raise ImageError(f"it uses features 0x{features & ~_KNOWN:x}, which vx does not know")
        self.fast = bool(features & _FAST_COMMIT)
        if self.fast:
            end -= struct.unpack_from(">I", head, 0x54)[0] or _FAST_BLOCKS
        blocks = self._starts[-1] + self._runs[-1].count
        if not 0 < first < end <= blocks or not (start == 0 or first <= start < end):
            raise ImageError("the numbers in its superblock do not fit each other")
        self.first, self.end, self.sequence, self.start = first, end, sequence, start
        self.wide = bool(features & _BITS64)
        self.csum3 = bool(features & _CSUM3)
        self.checked = bool(features & (_CSUM2 | _CSUM3))
        self.seed = ext4_crc.crc32c(ext4_crc.SEED, head[0x30:0x40])
        if self.checked and not _sealed(ext4_crc.SEED, head[:1024], 0xFC):
            raise ImageError("the checksum of its superblock is wrong")

    def _check_super(self, head: bytes, kind: int, size: int) -> None:
        if not head.startswith(_MAGIC) or kind not in (_SUPER_V1, _SUPER_V2):
            raise ImageError("it has no superblock")
        if size != self.size:
            raise ImageError(f"its blocks have {size} bytes")

    def place(self, number: int) -> int:
        """The byte of the device where a block is."""
        run = self._runs[bisect_right(self._starts, number) - 1]
        if not run.physical:
            raise ImageError(f"its block {number} is missing")
        return (run.physical + number - run.logical) * self.size

    def block(self, number: int) -> bytes:
        return self.read(self.place(number))

    def read(self, place: int) -> bytes:
        return self._device.read_at(place, self.size)

    def after(self, number: int) -> int:
        return self.first if number + 1 >= self.end else number + 1


def replayed(
    device: Device, parsed: Superblock, size: int, runs: Iterable[Run]
) -> tuple[Device, tuple[str, ...]]:
    """The device with every committed change, and what people must be told.

    ``size`` and ``runs`` are those of the journal's inode. Raises ImageError where the journal
    cannot be replayed.
    """
    if not parsed.block <= size <= _SIZE_MAX:
        raise ImageError(f"it claims {size} bytes")
    journal = _Journal(device, parsed, runs)
    if not journal.start:
        return device, ()
    index: dict[int, _Write] = {}
    warnings = tuple(_scan(journal, index, parsed.blocks))
    return Replayed(device, parsed.block, index), warnings


class Replayed:
    """A device of which some blocks are read from other places of it."""

    def __init__(self, device: Device, block: int, index: Mapping[int, _Write]) -> None:
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
        if first == last:
            return data
        patched = bytearray(data)
        for number in self._numbers[first:last]:
            start = number * self._block - offset
            low, high = max(start, 0), min(start + self._block, length)
            patched[low:high] = self._copy(self._index[number])[low - start : high - start]
        return bytes(patched)

    def _copy(self, write: _Write) -> bytes:
        data = self._device.read_at(write.place, self._block)
        return _MAGIC + data[4:] if write.escaped else data


def _scan(journal: _Journal, index: dict[int, _Write], blocks: int) -> Iterator[str]:
    """Fill ``index`` with what the committed changes leave; yields warnings."""
    at, sequence, change = journal.start, journal.sequence, _Change()
    left = journal.end - journal.first  # a journal is gone round once at most
    while left > 0:
        block = journal.block(at)
        magic, kind, number = struct.unpack_from(">4sII", block)
        if magic != _MAGIC or number != sequence or kind not in (_DESCRIPTOR, _REVOKE, _COMMIT):
            break
        at, left = journal.after(at), left - 1
        if kind == _COMMIT:
            if not (change.whole and _is_committed(journal, block, change.writes, sequence)):
                yield _DAMAGED
                return
            index.update((write.block, write) for write in change.writes)
            for revoked in change.revoked:
                index.pop(revoked, None)
            sequence, change = (sequence + 1) & 0xFFFFFFFF, _Change()
            continue
        change.whole = change.whole and _is_whole(journal, block)
        if kind == _REVOKE:
            change.revoked += _revoked(journal, block)
            continue
        for write in _writes(journal, block, at, left):
            if write.block >= blocks or len(index) + len(change.writes) >= _BLOCKS_MAX:
                raise ImageError(f"it changes too much, or block {write.block} of {blocks}")
            change.writes.append(write)
            at, left = journal.after(at), left - 1
    if journal.fast and _has_fast_commit(journal, sequence):
        yield _FAST


def _writes(journal: _Journal, block: bytes, at: int, left: int) -> Iterator[_Write]:
    """Of a descriptor block, whose data starts at ``at``."""
    for number, flags, checksum in islice(_tags(journal, block), left):
        escaped = bool(flags & _ESCAPED)
        place = journal.place(at)
        yield _Write(block=number, place=place, escaped=escaped, checksum=checksum)
        at = journal.after(at)


def _tags(journal: _Journal, block: bytes) -> Iterator[tuple[int, int, int]]:
    """(block, flags, checksum) of a descriptor block; journal_tag_bytes of fs/jbd2/journal.c."""
    size = 16 if journal.csum3 else 8 + 4 * journal.wide + 2 * journal.checked
    end = len(block) - 4 * journal.checked
    at = 12
    while at + size <= end:
        if journal.csum3:
            low, flags, high, checksum = struct.unpack_from(">IIII", block, at)
        else:
            low, checksum, flags = struct.unpack_from(">IHH", block, at)
            high = struct.unpack_from(">I", block, at + 8)[0] if journal.wide else 0
        yield low | (high << 32 if journal.wide else 0), flags, checksum
        if flags & _LAST:
            return
        at += size + (0 if flags & _SAME_UUID else 16)


def _revoked(journal: _Journal, block: bytes) -> Sequence[int]:
    used = struct.unpack_from(">I", block, 12)[0]
    if not 16 <= used <= len(block) - 4 * journal.checked:
        raise ImageError(f"a list in it claims {used} bytes")
    width, code = (8, "Q") if journal.wide else (4, "I")
    return struct.unpack_from(f">{(used - 16) // width}{code}", block, 16)


def _is_whole(journal: _Journal, block: bytes) -> bool:
    return not journal.checked or _sealed(journal.seed, block, len(block) - 4)


def _is_committed(journal: _Journal, block: bytes, writes: Sequence[_Write], sequence: int) -> bool:
    if not journal.checked:
        return True
    if not _sealed(journal.seed, block, 16):
        return False
    seed = ext4_crc.crc32c(journal.seed, struct.pack(">I", sequence))
    mask = 0xFFFFFFFF if journal.csum3 else 0xFFFF
    step = max(_CHECKED_AT_ONCE // journal.size, 1)
    for start in range(0, len(writes), step):
        some = writes[start : start + step]
        data = b"".join(journal.read(write.place) for write in some)
        sums = ext4_crc.crc32c_each(seed, data, journal.size)
        if any((found ^ write.checksum) & mask for found, write in zip(sums, some, strict=True)):
            return False
    return True


def _sealed(seed: int, block: bytes, at: int) -> bool:
    """Whether the checksum at ``at`` is that of the block with zeros in its place."""
    found = ext4_crc.crc32c(seed, block[:at] + bytes(4) + block[at + 4 :])
    return found == int(struct.unpack_from(">I", block, at)[0])


def _has_fast_commit(journal: _Journal, sequence: int) -> bool:
    tag, _, _, number = struct.unpack_from("<HHII", journal.block(journal.end))
    return bool(tag == _FAST_HEAD and number == sequence)
