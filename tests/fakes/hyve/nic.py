"""The network card's start: UUID, privileges, one interface a UUID."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from tests.fakes.hyve.cscan import scan_hex

if TYPE_CHECKING:
    from pathlib import Path

_FORM = (8, "-", 4, "-", 4, "-", 2, 2, "-", 2, 2, 2, 2, 2, 2)


def canonical_uuid(text: str) -> str | None:
    """As typed, in lower case; None: xhyve refuses it (include/xhyve/support/uuid.h:94-153)."""
    if not text:
        return "00000000-0000-0000-0000-000000000000"
    numbers = scan_hex(text, _FORM)
    if len(text) != 36 or text[8] != "-" or len(numbers) != 11:
        return None
    if numbers[3] & 0xE0 == 0xE0:
        return None
    low, mid, high, *tail = numbers
    tail_text = "".join(f"{byte & 0xFF:02x}" for byte in tail)
    return f"{low & 0xFFFFFFFF:08x}-{mid:04x}-{high:04x}-{tail_text[:4]}-{tail_text[4:]}"


def random_uuid() -> str:
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def hold_interface(state: Path, uuid: str) -> bool:
    """Until this process ends. False: another one has it."""
    folder = state / "interfaces"
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder / uuid, os.O_CREAT | os.O_RDWR, 0o666)
    # Away from the low numbers: what xhyve opens next gets the number it would get there.
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64)
    os.close(fd)
    try:
        fcntl.flock(high, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(high)
        return False
    return True
