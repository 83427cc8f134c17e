"""Packets out of a capture that is still being written (libpcap's file format)."""

from __future__ import annotations

import struct

_MAGIC = 0xA1B2C3D4
_HEADER_BYTES = 24
_RECORD = struct.Struct("<IIII")
_PACKET_MAX = 1 << 18


class BadCapture(ValueError):
    pass


class PcapReader:
    """Takes bytes as they come; gives packets as they are complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    def feed(self, data: bytes) -> list[bytes]:
        """Raises BadCapture."""
        rest = self._rest + data
        at = 0
        if not self._begun:
            if len(rest) < _HEADER_BYTES:
                self._rest = rest
                return []
            if struct.unpack_from("<I", rest)[0] != _MAGIC:
                raise BadCapture("not a capture in this byte order")
            self._begun = True
            at = _HEADER_BYTES
        packets = []
        while len(rest) - at >= _RECORD.size:
            size = _RECORD.unpack_from(rest, at)[2]
            if size > _PACKET_MAX:
                raise BadCapture(f"a packet of {size} bytes")
            end = at + _RECORD.size + size
            if end > len(rest):
                break
            packets.append(rest[at + _RECORD.size : end])
            at = end
        self._rest = rest[at:]
        return packets
