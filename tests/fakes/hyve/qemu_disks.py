"""Images as QEMU is to open them."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from tests.fakes.hyve.blocks import block_options
from tests.fakes.hyve.qemu_argv import Disk

if TYPE_CHECKING:
    from tests.fakes.hyve.model import CommandLine, Slot
    from tests.fakes.hyve.personality import Personality

_EMULATIONS = {"virtio-blk", "ahci-hd", "ahci-cd"}


def opened_disks(line: CommandLine, personality: Personality) -> dict[Slot, Disk]:
    """Raises OSError where an overlay cannot be made."""
    disks = {}
    for slot in line.slots:
        if slot.emulation not in _EMULATIONS or slot.config is None:
            continue
        options = block_options(slot.config, personality.flavour)
        path = os.path.abspath(options.path)  # an absolute path is never taken for a protocol
        read_only = options.read_only or not _writable(path)
        needs_overlay = read_only and slot.emulation != "ahci-cd"
        disks[slot] = Disk(
            path=path,
            overlay=_overlay_of(path, personality) if needs_overlay else None,
            sectors=options.sectors if options.sectors and options.sectors[0] else None,
        )
    return disks


def _writable(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDWR))
    except OSError:
        return False
    return True


def _overlay_of(path: str, personality: Personality) -> str:
    """A throw-away one: QEMU gets it by a descriptor that ends with this process."""
    size = _size_of(path)
    fd = os.memfd_create("overlay")
    name = f"/proc/{os.getpid()}/fd/{fd}"
    done = subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", name, str(size)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise OSError(f"qemu-img: {done.stderr.strip()}")
    return name


def _size_of(path: str) -> int:
    with open(path, "rb") as file:
        return file.seek(0, os.SEEK_END)
