"""A file system inside an image: paths, links and files, whichever kind it is of.

Each kind brings a ``FileSystem``; finding a path, following links and bounding what is read is
done here, once. Everything comes from strangers: depth, sizes and hops are limited.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from vagrantish.formats.device import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

LINKS_MAX = 40  # as Linux does
ENTRIES_MAX = 200_000  # of one folder
_LINK_TARGET_MAX = 4096
_DEPTH_MAX = 256


class NodeKind(StrEnum):
    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"  # a device, a pipe, a socket


@dataclass(frozen=True, kw_only=True)
class Node:
    """A file, folder or link of a file system. ``handle`` means something to that system alone."""

    kind: NodeKind
    size: int  # bytes of a file or link
    handle: Any
    mode: int = 0  # permission bits, where the file system has them


class FileSystem(Protocol):
    """What one kind of file system must be able to do. All of it raises ImageError, OSError."""

    kind: str  # "ext4", "xfs", "vfat", "iso9660", "btrfs"
    label: str  # "" without one
    uuid: str  # lower case with dashes, as blkid prints it; "" without one
    warnings: tuple[str, ...]  # for people: "its journal was not replayed"

    def root(self) -> Node: ...

    def child(self, folder: Node, name: str) -> Node | None:
        """The entry of that exact name (case aside where the file system does so)."""

    def children(self, folder: Node) -> Iterator[tuple[str, Node]]:
        """Every entry but "." and ".."; names that are not UTF-8 come with surrogate escapes."""

    def target(self, link: Node) -> str:
        """What a link points to."""

    def chunks(self, file: Node) -> Iterator[bytes]:
        """The bytes of a file in order, in pieces of at most some MiB; holes come as zeros."""


class Volume:
    """A file system, used by paths. Links are followed inside it and cannot leave it."""

    def __init__(self, system: FileSystem) -> None:
        self.system = system

    def find(self, path: str) -> Node | None:
        """What lies at ``path`` with every link followed; None when there is nothing.

        Raises ImageError for links that lead round in circles, and for damage.
        """
        trail = [self.system.root()]  # the folders from the root down to where we stand
        waiting = _words(path)[::-1]
        hops = 0
        while waiting:
            word = waiting.pop()
            if word == "..":
                del trail[max(1, len(trail) - 1) :]
                continue
            here = trail[-1]
            node = self.system.child(here, word) if here.kind is NodeKind.FOLDER else None
            if node is None:
                return None
            if node.kind is not NodeKind.LINK:
                trail.append(node)
            else:
                hops += 1
                target = self.link_target(node)
                if target.startswith("/"):
                    del trail[1:]
                waiting.extend(_words(target)[::-1])
            if hops > LINKS_MAX or len(trail) + len(waiting) > _DEPTH_MAX:
                raise ImageError(f"{path}: links go round in circles, or folders too deep")
        return trail[-1]

    def link_target(self, link: Node) -> str:
        """Raises ImageError when it is longer than any system allows."""
        if link.size > _LINK_TARGET_MAX:
            raise ImageError(f"a link claims a target of {link.size} bytes")
        return self.system.target(link)

    def is_file(self, path: str) -> bool:
        node = self.find(path)
        return node is not None and node.kind is NodeKind.FILE

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a folder, sorted; none when there is no such folder."""
        folder = self.find(path)
        if folder is None or folder.kind is not NodeKind.FOLDER:
            return ()
        found = []
        for name, _ in self.system.children(folder):
            found.append(name)
            if len(found) > ENTRIES_MAX:
                raise ImageError(f"{path} has more than {ENTRIES_MAX} entries")
        return tuple(sorted(found))

    def chunks(self, path: str, *, most: int) -> Iterator[bytes]:
        """A file's bytes. Raises ImageError when there is none, or it has over ``most`` bytes."""
        node = self.find(path)
        if node is None or node.kind is not NodeKind.FILE:
            raise ImageError(f"it holds no file {path}")
        if node.size > most:
            raise ImageError(f"{path} claims {node.size} bytes; at most {most} are taken")
        left = node.size
        for chunk in self.system.chunks(node):
            left -= len(chunk)
            if left < 0:
                raise ImageError(f"{path} has more bytes than it claims")
            yield chunk
        if left:
            raise ImageError(f"{path} is cut short: {left} bytes are missing")

    def read(self, path: str, *, most: int = 1 << 20) -> bytes:
        """A small file, whole."""
        return b"".join(self.chunks(path, most=most))


def _words(path: str) -> list[str]:
    return [word for word in path.split("/") if word not in ("", ".")]
