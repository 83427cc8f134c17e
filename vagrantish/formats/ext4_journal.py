"""The journal of ext3 and ext4: its superblock, and the changes that were committed to it.

Layout: Documentation/filesystems/ext4/journal.rst of Linux; what counts as committed follows
fs/jbd2/recovery.c. All numbers are big-endian.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from vagrantish.formats import ext4_crc
from vagrantish.formats.device import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vagrantish.formats.device import Device
    from vagrantish.formats.ext4_map import Run

MAGIC = b"\xc0\x3b\x39\x98"
BLOCKS_MAX = 1 << 18  # that one journal may change, or take back: some 60 MB of records
_DESCRIPTOR, _COMMIT, _SUPER_V1, _SUPER_V2, _REVOKE = 1, 2, 3, 4, 5
_BITS64, _CSUM2, _CSUM3, _FAST_COMMIT, _KNOWN = 0x2, 0x8, 0x10, 0x20, 0x3F
_ESCAPED, _SAME_UUID, _LAST = 1, 2, 8
_SUPER_CHECKSUM, _COMMIT_CHECKSUM = 0xFC, 16  # bytes where they are
_FAST_HEAD, _FAST_BLOCKS = 9, 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    block: int  # of the file system
    place: int  # byte of the device where the journal has it
    escaped: bool  # it started like a block of the journal, so its first bytes were zeroed
    checksum: int


@dataclass(kw_only=True)
class Change:
    """One transaction."""

    sequence: int
    writes: list[Write] = field(default_factory=list)
    revoked: list[int] = field(default_factory=list)
    # (byte of the device, byte in the block) of the checksums of the journal's own blocks
    seals: list[tuple[int, int]] = field(default_factory=list)
    possible: bool = True  # what it writes is in the file system


class Journal:
    """Its own blocks, by number. Raises ImageError when it cannot be one."""

    def __init__(self, device: Device, block: int, runs: Iterable[Run]) -> None:
        self._device = device
        self._runs = tuple(runs)
        self._starts = [run.logical for run in self._runs]
        self.size = block
        head = self.read(self.place(0))
        kind, size, end, first, sequence, start = struct.unpack_from(">4xI4xIIIII", head)
        if not head.startswith(MAGIC) or kind not in (_SUPER_V1, _SUPER_V2):
            raise ImageError("it has no superblock")
        if size != block:
            raise ImageError(f"its blocks have {size} bytes")
        features = struct.unpack_from(">I", head, 0x28)[0] if kind == _SUPER_V2 else 0
        if features & ~_KNOWN:
            raise ImageError(f"it uses features 0x{features & ~_KNOWN:x}, which vx does not know")
        self.wide = bool(features & _BITS64)
        self.csum3 = bool(features & _CSUM3)
        self.checked = bool(features & (_CSUM2 | _CSUM3))
        self.seed = ext4_crc.crc32c(ext4_crc.SEED, head[0x30:0x40])
        if self.checked and not _is_sealed(head[:1024]):
            raise ImageError("the checksum of its superblock is wrong")
        self.fast = bool(features & _FAST_COMMIT)
        if self.fast:
            end -= struct.unpack_from(">I", head, 0x54)[0] or _FAST_BLOCKS
        blocks = self._starts[-1] + self._runs[-1].count
        if not 0 < first < end <= blocks or not (start == 0 or first <= start < end):
            raise ImageError("the numbers in its superblock do not fit each other")
        self.first, self.end, self.sequence, self.start = first, end, sequence, start

    def place(self, number: int) -> int:
        """The byte of the device where a block is."""
        run = self._runs[bisect_right(self._starts, number) - 1]
        if not run.physical:
            raise ImageError(f"its block {number} is missing")
        return (run.physical + number - run.logical) * self.size

    def read(self, place: int) -> bytes:
        return self._device.read_at(place, self.size)

    def after(self, number: int) -> int:
        return self.first if number + 1 >= self.end else number + 1

    def has_fast_commit(self, sequence: int) -> bool:
        """Whether one follows on all changes before ``sequence``."""
        if not self.fast:
            return False
        tag, _, _, number = struct.unpack_from("<HHII", self.read(self.place(self.end)))
        return bool(tag == _FAST_HEAD and number == sequence)


def _is_sealed(head: bytes) -> bool:
    at = _SUPER_CHECKSUM
    found = ext4_crc.crc32c(ext4_crc.SEED, head[:at] + bytes(4) + head[at + 4 :])
    return found == int(struct.unpack_from(">I", head, at)[0])


def changes(journal: Journal, blocks: int) -> Iterator[Change]:
    """Those with a commit, in order, checksums not looked at; ``blocks`` has the file system.

    After one that is not ``possible`` there are none. Raises ImageError for too many writes.
    """
    at, change = journal.start, Change(sequence=journal.sequence)
    left = journal.end - journal.first  # a journal is gone round once at most
    records = 0
    while left > 0:
        place = journal.place(at)
        block = journal.read(place)
        magic, kind, number = struct.unpack_from(">4sII", block)
        if magic != MAGIC or number != change.sequence:
            return
        at, left = journal.after(at), left - 1
        change.seals.append((place, _COMMIT_CHECKSUM if kind == _COMMIT else journal.size - 4))
        before = len(change.writes) + len(change.revoked)
        if kind == _COMMIT:
            yield change
            if not change.possible:
                return
            change = Change(sequence=(change.sequence + 1) & 0xFFFFFFFF)
            continue
        if kind == _REVOKE:
            _add_revoked(journal, block, change)
        elif kind == _DESCRIPTOR:
            for write in _writes(journal, block, at, left):
                change.writes.append(write)
                change.possible = change.possible and write.block < blocks
                at, left = journal.after(at), left - 1
        else:
            return
        records += len(change.writes) + len(change.revoked) - before
        if records > BLOCKS_MAX:
            raise ImageError(f"it changes more than {BLOCKS_MAX} blocks")


def _writes(journal: Journal, block: bytes, at: int, left: int) -> Iterator[Write]:
    """Of a descriptor block, whose data starts at ``at``."""
    for number, flags, checksum in islice(_tags(journal, block), left):
        escaped = bool(flags & _ESCAPED)
        yield Write(block=number, place=journal.place(at), escaped=escaped, checksum=checksum)
        at = journal.after(at)


def _tags(journal: Journal, block: bytes) -> Iterator[tuple[int, int, int]]:
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


def _add_revoked(journal: Journal, block: bytes, change: Change) -> None:
    used = struct.unpack_from(">I", block, 12)[0]
    if not 16 <= used <= len(block) - 4 * journal.checked:
        change.possible = False
        return
    width, code = (8, "Q") if journal.wide else (4, "I")
    numbers: Sequence[int] = struct.unpack_from(f">{(used - 16) // width}{code}", block, 16)
    change.revoked += numbers
