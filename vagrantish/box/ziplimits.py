"""How big a zip's directory claims to be, looked at before zipfile reads it whole into memory.

Layout: APPNOTE.TXT of PKWARE, sections 4.3.14 to 4.3.16.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

_END, _END64_LOCATOR, _END64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_END_BYTES, _LOCATOR_BYTES, _END64_BYTES = 22, 20, 56
_COMMENT_MAX = 65535


def check_zip_directory(file: BinaryIO, *, entries_max: int) -> None:
    """Raises ValueError when the directory has too many entries or claims too many bytes."""
    size = file.seek(0, 2)
    tail_at = max(0, size - _COMMENT_MAX - _END_BYTES - _LOCATOR_BYTES)
    file.seek(tail_at)
    tail = file.read()
    end = tail.rfind(_END)
    if end < 0 or len(tail) - end < _END_BYTES:
        raise ValueError("it is cut short")
    entries, directory_bytes = struct.unpack_from("<HI", tail, end + 10)
    locator = end - _LOCATOR_BYTES
    if locator >= 0 and tail.startswith(_END64_LOCATOR, locator):
        (end64_at,) = struct.unpack_from("<Q", tail, locator + 8)
        file.seek(min(end64_at, size))
        end64 = file.read(_END64_BYTES)
        if len(end64) < _END64_BYTES or not end64.startswith(_END64):
            raise ValueError("its directory cannot be found")
        entries, directory_bytes = struct.unpack_from("<QQ", end64, 32)
    file.seek(0)
    if entries > entries_max or directory_bytes > entries_max * 256:
        raise ValueError(f"it has more than {entries_max} members ({entries})")
