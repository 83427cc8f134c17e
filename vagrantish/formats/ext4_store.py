"""The blocks and inodes of an ext file system, by number."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from vagrantish.formats import ext4_inode, ext4_map, ext4_super
from vagrantish.formats.device import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.formats.device import Device
    from vagrantish.formats.ext4_inode import Inode
    from vagrantish.formats.ext4_map import Run

_CACHED_BYTES = 8 << 20  # of maps, inodes and group descriptors
_LARGE_FOLDERS = 0x4000


class Store:
    """Raises ImageError when the device holds none, or only a part of one."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.super = _superblock(device)
        self._cached = lru_cache(max(_CACHED_BYTES // self.super.block, 16))(self.block)
        self._blocks = ext4_map.Blocks(
            size=self.super.block, count=self.super.blocks, read=self._cached
        )

    def block(self, number: int) -> bytes:
        if number >= self.super.blocks:
            raise ImageError(f"block {number} is named, and there are {self.super.blocks}")
        return self.device.read_at(number * self.super.block, self.super.block)

    def inode(self, number: int) -> Inode:
        parsed = self.super
        if not 0 < number <= parsed.inodes:
            raise ImageError(f"inode {number} is named, and there are {parsed.inodes}")
        group, index = divmod(number - 1, parsed.inodes_per_group)
        descriptor = self._read(parsed.descriptor_at(group), parsed.descriptor_bytes)
        table = struct.unpack_from("<I", descriptor, 8)[0]
        if parsed.descriptor_bytes >= 64:
            table |= struct.unpack_from("<I", descriptor, 0x28)[0] << 32
        data = self._read(table * parsed.block + index * parsed.inode_bytes, parsed.inode_bytes)
        return ext4_inode.parse(data, number, large_folders=bool(parsed.incompat & _LARGE_FOLDERS))

    def runs(self, inode: Inode) -> Iterator[Run]:
        """Of all its blocks, holes as well."""
        wanted = -(-inode.size // self.super.block)
        if inode.flags & ext4_inode.EXTENTS:
            runs = ext4_map.extent_runs(self._blocks, inode.map)
        else:
            runs = ext4_map.listed_runs(self._blocks, inode.map, wanted)
        return ext4_map.joined(runs, wanted)

    def _read(self, offset: int, length: int) -> bytes:
        """Of one block: neither an inode nor a descriptor crosses a border."""
        number, inside = divmod(offset, self.super.block)
        return self._cached(number)[inside : inside + length]


def _superblock(device: Device) -> ext4_super.Superblock:
    if device.size < ext4_super.AT + ext4_super.BYTES:
        raise ImageError("it is too small for an ext file system")
    parsed = ext4_super.parse(device.read_at(ext4_super.AT, ext4_super.BYTES))
    size = parsed.blocks * parsed.block
    if size > device.size:
        raise ImageError(
            f"its ext file system has {size} bytes, and there are {device.size}: it is cut short"
        )
    return parsed
