"""Which processors a disk that boots by itself is for, told from the loader UEFI would start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.box.bootplaces import places
from vagrantish.files import host_errors
from vagrantish.formats.device import ImageError
from vagrantish.formats.disk import open_disk

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.formats.volume import Volume

_LOADERS = {"BOOTX64.EFI": "x86_64", "BOOTAA64.EFI": "aarch64"}  # UEFI 2.10, section 3.5.1.1


def loader_arch(disk: Path) -> str:
    """ "" where there is no such loader, or one for each. Raises HostError."""
    try:
        with host_errors(f"read {disk}"), open_disk(disk) as device:
            volumes = [place.volume for place in places(device) if place.volume is not None]
            arches = {
                arch
                for name, arch in _LOADERS.items()
                if any(_has(volume, f"/EFI/BOOT/{name}") for volume in volumes)
            }
    except ImageError:
        return ""
    return arches.pop() if len(arches) == 1 else ""


def _has(volume: Volume, path: str) -> bool:
    """Damage counts as absence: other places may be whole."""
    try:
        return volume.is_file(path)
    except ImageError:
        return False
