"""Everything in a file system, or in a folder of the host, as values that can be compared."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from vagrantish.formats.volume import NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.formats.volume import FileSystem, Node

FOLDER = "folder"


def walked(system: FileSystem) -> dict[str, str]:
    """Path → FOLDER, a link's target, or a file's sha256; without lost+found."""
    return dict(_below(system, system.root(), "", 0))


def _below(system: FileSystem, folder: Node, base: str, depth: int) -> Iterator[tuple[str, str]]:
    assert depth < 50
    for name, node in system.children(folder):
        path = f"{base}/{name}"
        if path == "/lost+found":
            continue
        if node.kind is NodeKind.FOLDER:
            yield path, FOLDER
            yield from _below(system, node, path, depth + 1)
        elif node.kind is NodeKind.LINK:
            yield path, f"-> {system.target(node)}"
        elif node.kind is NodeKind.FILE:
            digest = hashlib.sha256()
            for chunk in system.chunks(node):
                digest.update(chunk)
            yield path, digest.hexdigest()


def walked_on_host(root: Path) -> dict[str, str]:
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder) / name
            if path.is_symlink():
                value = f"-> {os.readlink(path)}"
            elif path.is_dir():
                value = FOLDER
            else:
                value = hashlib.sha256(path.read_bytes()).hexdigest()
            found[f"/{path.relative_to(root)}"] = value
    return found
