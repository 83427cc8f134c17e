"""What a file that is to become a box holds, told from its bytes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from vagrantish.errors import BoxError
from vagrantish.files import host_errors
from vagrantish.formats import qcow2, sniff, unpack
from vagrantish.formats.iso9660 import MAGIC as ISO_MAGIC
from vagrantish.formats.iso9660 import MAGIC_OFFSET as ISO_OFFSET

if TYPE_CHECKING:
    from pathlib import Path

_SECTOR = 512
_DISK_MIN = 64 << 10  # less holds no Linux
_UNTOLD = ("of no kind vx knows", "nothing but zero bytes")  # as disks begin
# (byte, what stands there, what that is); byte -512 is the footer.
_FOREIGN = (
    (0, b"KDMV", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"conectix", "vhd"),
    (-_SECTOR, b"conectix", "vhd"),
)
_TAKEN = (
    "vx takes a qcow2 or raw disk image (also compressed, or alone in a tar archive), "
    "a Tiny Core ISO, a Vagrant box or catalog, and a folder or archive with a box.toml."
)


class Kind(StrEnum):
    ZIP = "zip"
    TAR = "tar"  # compressed or not
    COMPRESSED = "compressed"  # and no tar
    CATALOG = "catalog"
    QCOW2 = "qcow2"
    RAW = "raw"
    ISO = "iso"
    FOREIGN = "foreign"  # a disk in a format of another hypervisor
    OTHER = "other"


@dataclass(frozen=True)
class Found:
    kind: Kind
    what: str  # for people: "a gzip file"


def look(path: Path) -> Found:
    """Raises HostError."""
    with host_errors(f"read {path}"), path.open("rb") as file:
        head = file.read(sniff.HEAD_BYTES)
        file.seek(ISO_OFFSET)
        iso = file.read(len(ISO_MAGIC)) == ISO_MAGIC
        size = file.seek(0, 2)
        file.seek(max(0, size - _SECTOR))
        tail = file.read(_SECTOR)
    return kind_of(head, tail, size, iso=iso)


def kind_of(head: bytes, tail: bytes, size: int, *, iso: bool) -> Found:
    """``head`` and ``tail`` are up to 4 KiB and 512 bytes of it."""
    what = sniff.describe(head)
    for offset, mark, name in _FOREIGN:
        if (tail if offset < 0 else head[offset:]).startswith(mark):
            return Found(Kind.FOREIGN, f"a {name} disk image")
    untold = what in _UNTOLD and size % _SECTOR == 0 and size >= _DISK_MIN
    # The order counts: a hybrid ISO begins as a disk does.
    looks: tuple[tuple[bool, Kind, str], ...] = (
        (head.startswith(b"PK\x03\x04"), Kind.ZIP, what),
        (holds_tar(head), Kind.TAR, what),
        (unpack.is_compressed(head), Kind.COMPRESSED, what),
        (head.startswith(qcow2.MAGIC), Kind.QCOW2, what),
        (iso, Kind.ISO, "an ISO image"),
        (head.lstrip(b" \t\r\n").startswith(b"{"), Kind.CATALOG, "a JSON file"),
        (untold, Kind.RAW, "a raw disk image"),
    )
    return next(
        (Found(kind, said) for is_so, kind, said in looks if is_so), Found(Kind.OTHER, what)
    )


def holds_tar(head: bytes) -> bool:
    """Whether it is a tar archive, compressed or not."""
    if unpack.is_compressed(head):
        decoder = unpack.Unpacker()
        try:
            head = next(decoder.feed(head), b"")
        except unpack.UnpackError:
            return False
    return head[257:262] == b"ustar"


def refused(found: Found, label: str, path: str = "FILE") -> BoxError:
    """``path`` is what a command can be given for it."""
    if found.kind is Kind.FOREIGN:
        command = shlex.join(["qemu-img", "convert", "-O", "qcow2", path, f"{path}.qcow2"])
        return BoxError(
            f"{label} is {found.what}, which vx does not read", hint=f"Convert it: `{command}`."
        )
    return BoxError(f"{label} is {found.what}, and no box can be made of that", hint=_TAKEN)
