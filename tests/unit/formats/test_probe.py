"""What a device holds is told by its magic numbers."""

from __future__ import annotations

import pytest

from tests.fakes.bytesdevice import BytesDevice
from vagrantish.formats.device import ImageError
from vagrantish.formats.probe import describe, open_volume

MARKS = [
    (0, b"LUKS\xba\xbe", "an encrypted LUKS volume"),
    (512, b"LABELONE", "an LVM volume"),
    (4086, b"SWAPSPACE2", "swap space"),
    (65526, b"SWAPSPACE2", "swap space"),
    (0, b"hsqs", "a squashfs file system"),
    (3, b"NTFS    ", "an NTFS file system"),
    (3, b"EXFAT   ", "an exFAT file system"),
    (4096, b"\xfc\x4e\x2b\xa9", "part of a RAID"),
    (1024, b"\x10\x20\xf5\xf2", "an f2fs file system"),
    (1024, b"\xe2\xe1\xf5\xe0", "an EROFS file system"),
    (65536 + 1372, b"\x19\x01\x54\x19", "a UFS file system"),
]
KNOWN = [
    (0, b"XFSB", "an XFS file system"),
    (1080, b"\x53\xef", "an ext file system"),
    (0x10040, b"_BHRfS_M", "a btrfs file system"),
    (0x8001, b"CD001", "an ISO 9660 file system"),
]


def device(at: int, mark: bytes) -> BytesDevice:
    data = bytearray(80 << 10)
    data[at : at + len(mark)] = mark
    return BytesDevice(bytes(data))


@pytest.mark.parametrize(("at", "mark", "what"), MARKS)
def test_what_cannot_be_looked_into_is_named_and_not_opened(
    at: int, mark: bytes, what: str
) -> None:
    assert describe(device(at, mark)) == what
    assert open_volume(device(at, mark)) is None


@pytest.mark.parametrize(("at", "mark", "what"), KNOWN)
def test_a_file_system_of_which_only_the_mark_is_there_is_damaged(
    at: int, mark: bytes, what: str
) -> None:
    assert describe(device(at, mark)) == what
    with pytest.raises(ImageError):
        open_volume(device(at, mark))


@pytest.mark.parametrize(
    "data", [b"", b"XFS", bytes(513), b"\xeb\x63\x90" + bytes(507) + b"\x55\xaa"]
)
def test_anything_else_is_nothing_vx_knows(data: bytes) -> None:
    assert describe(BytesDevice(data)) == "nothing that vx knows"
    assert open_volume(BytesDevice(data)) is None
