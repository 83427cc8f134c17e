"""The disk images that boxes are made of for the benchmark."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.bench_table import took

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDERS = (Path("/usr/lib"), Path("/usr/share"), Path("/usr/bin"))
BOX_BYTES = 500_000_000


def host_files() -> Iterator[Path]:
    """Programs, libraries and texts of this host, in the same order each time."""
    for folder in FOLDERS:
        for place, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                path = Path(place, name)
                if path.is_file() and not path.is_symlink():
                    yield path


def debian() -> Path:
    """The Debian cloud image of the tests, built where it is not there yet."""
    from tests.fakes.images import MISSING, open_images

    if MISSING:
        raise SystemExit(
            f"The Debian image is built with {', '.join(MISSING)}: install them first."
        )
    return open_images().debian()


def filled(folder: Path, virtual_bytes: int) -> Path:
    """Debian's disk grown, not compressed, with so much behind its partitions that it has 500 MB."""
    raw, image = folder / "filled.raw", folder / "filled.qcow2"
    took("qemu-img", "convert", "-O", "qcow2", debian(), image)
    took("qemu-img", "convert", "-O", "raw", image, raw)
    left = BOX_BYTES - image.stat().st_size
    with raw.open("ab") as file:
        for path in host_files():
            data = path.read_bytes()[: max(0, left)]
            left -= file.write(data)
            if left <= 0:
                break
        file.truncate(virtual_bytes)
    took("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image)
    raw.unlink()
    return image
