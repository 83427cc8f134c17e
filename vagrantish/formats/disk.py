"""Opens disk images, qcow2 or raw."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from vagrantish.formats import qcow2
from vagrantish.formats.device import FileDevice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.formats.device import Device


@contextmanager
def open_disk(path: Path, *, backing: Device | None = None) -> Iterator[Device]:
    """The disk in the image at ``path``; one that is only changes needs what it is over.

    Raises ImageError, OSError.
    """
    with FileDevice(path) as file:
        if file.read_at(0, min(len(qcow2.MAGIC), file.size)) == qcow2.MAGIC:
            from vagrantish.formats.qcow2.device import Qcow2Device

            yield Qcow2Device(file, backing=backing)
        else:
            yield file
