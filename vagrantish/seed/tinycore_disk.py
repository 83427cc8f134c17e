"""Makes the disk on which Tiny Core keeps home, opt and extensions."""

from __future__ import annotations

import os
import uuid as uuids
from typing import TYPE_CHECKING

from vagrantish.errors import MachineError
from vagrantish.files import host_errors
from vagrantish.formats.device import ImageError
from vagrantish.seed.tinycore import DISK_LABEL, STAFF
from vagrantish.units import format_size

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.formats.ext4_make import Item

_TC = 1001


def make_disk(target: Path, size_bytes: int, *, uuid: str) -> None:
    """An ext4 file system as a whole raw disk, unless ``target`` is there.

    ``uuid`` is the file system's. Raises MachineError when it is too small, HostError.
    """
    from vagrantish.formats.ext4_make import make_ext4

    if target.exists():
        return
    staged = target.with_name(f".{target.name}.{uuids.uuid4().hex[:8]}.tmp")
    with host_errors(f"make the disk {target}"):
        try:
            make_ext4(staged, size_bytes, label=DISK_LABEL, uuid=uuid, items=items())
            staged.chmod(0o600)
            os.replace(staged, target)
        except ImageError as error:
            raise MachineError(
                f"a disk of {format_size(size_bytes)} cannot be made for Tiny Core: {error}",
                hint='Give the machine another size of disk: `disk = "1GiB"` in the Xhyvefile.',
            ) from error
        finally:
            staged.unlink(missing_ok=True)


def items() -> tuple[Item, ...]:
    """What a new disk holds, as Tiny Core's own scripts would make it but for one list."""
    from vagrantish.formats.ext4_make import Item
    from vagrantish.formats.volume import NodeKind

    folder, file = NodeKind.FOLDER, NodeKind.FILE
    return (
        Item(path="tce", kind=folder, mode=0o775, uid=_TC, gid=STAFF),
        Item(path="tce/optional", kind=folder, mode=0o775, uid=_TC, gid=STAFF),
        Item(path="tce/onboot.lst", kind=file, mode=0o664, uid=_TC, gid=STAFF),
        Item(path="home", kind=folder, mode=0o775, gid=STAFF),
        Item(path="opt", kind=folder, mode=0o2775, gid=STAFF),
        # A backup of home and opt, which Tiny Core's own list asks for, would be put back over
        # what the disk has of them. An empty list is an error there.
        Item(path="opt/.filetool.lst", kind=file, mode=0o664, gid=STAFF, data=b"root\n"),
    )
