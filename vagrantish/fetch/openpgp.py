"""As much of OpenPGP's packets (RFC 9580, 4) as tells keys and signatures apart; proves nothing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNATURE, PUBLIC_KEY = 2, 6
_ARMOR = re.compile(
    rb"-----BEGIN PGP [A-Z ]+-----\r?\n(?:[^\r\n:]+:[^\r\n]*\r?\n)*[ \t]*\r?\n"
    rb"([A-Za-z0-9+/=\r\n \t]+?)(?:\r?\n=[A-Za-z0-9+/]{4}[ \t]*)?\r?\n-----END PGP"
)


def dearmored(data: bytes) -> bytes:
    """Binary packets, of data that is armored or is not. Raises ValueError."""
    if not data.lstrip().startswith(b"-----BEGIN PGP"):
        return data
    try:
        blocks = [base64.b64decode(body) for body in _ARMOR.findall(data)]
    except binascii.Error as error:
        raise ValueError("its armor is damaged") from error
    if not blocks:
        raise ValueError("its armor is damaged")
    return b"".join(blocks)


def packets(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Tag, body and the whole packet, of binary data. Raises ValueError."""
    position = 0
    while position < len(data):
        tag, start, end = _bounds(data, position)
        if end > len(data):
            raise ValueError("it is cut short")
        yield tag, data[start:end], data[position:end]
        position = end


def _bounds(data: bytes, position: int) -> tuple[int, int, int]:
    """Tag, and where the body starts and ends."""
    try:
        first, second = data[position], data[position + 1]
        if not first & 0x80:
            raise ValueError("it is not OpenPGP")
        if not first & 0x40:  # the older form
            width = 1 << (first & 3)
            if width == 8:
                return (first >> 2) & 15, position + 1, len(data)
            start = position + 1 + width
            return (
                (first >> 2) & 15,
                start,
                start + int.from_bytes(data[position + 1 : start], "big"),
            )
        if second < 192:
            return first & 63, position + 2, position + 2 + second
        if second < 224:
            size = ((second - 192) << 8) + data[position + 2] + 192
            return first & 63, position + 3, position + 3 + size
        if second == 255:
            start = position + 6
            return first & 63, start, start + int.from_bytes(data[position + 2 : start], "big")
    except IndexError:
        raise ValueError("it is cut short") from None
    raise ValueError("it has a packet in parts")


def fingerprints(data: bytes) -> list[str]:
    """Of the primary keys in binary data, upper case; version 4 and 6. Raises ValueError."""
    found = []
    for tag, body, _ in packets(data):
        if tag == PUBLIC_KEY and body[:1] == b"\x04":
            prefix = b"\x99" + len(body).to_bytes(2, "big")
            found.append(hashlib.sha1(prefix + body, usedforsecurity=False).hexdigest().upper())
        elif tag == PUBLIC_KEY and body[:1] == b"\x06":
            prefix = b"\x9b" + len(body).to_bytes(4, "big")
            found.append(hashlib.sha256(prefix + body).hexdigest().upper())
    return found
