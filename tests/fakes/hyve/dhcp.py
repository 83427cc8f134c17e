"""What a DHCP server learns from its clients, read from the packets themselves."""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass

_ETHERNET_BYTES = 14
_BOOTP_BYTES = 236
_COOKIE = b"\x63\x82\x53\x63"
_PORTS = {67, 68}
_REPLY = 2
_PAD, _END = 0, 255
_HOST_NAME, _TYPE, _CLIENT_ID = 12, 53, 61
_ACK = 5
_REMEMBERED = 64


@dataclass(frozen=True, kw_only=True)
class Message:
    """RFC 2131; only what is used."""

    reply: bool
    type: int
    xid: int
    mac: bytes
    address: str  # yiaddr
    host_name: bytes = b""
    client_id: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Granted:
    """An ACK, with what its client had sent before."""

    mac: bytes
    address: str
    host_name: str
    client_id: bytes  # with its type; empty: none was sent


def message_of(frame: bytes) -> Message | None:
    """None: not a whole DHCP message in Ethernet and IPv4."""
    payload = _udp_payload(frame)
    if payload is None or len(payload) < _BOOTP_BYTES + 4:
        return None
    if payload[_BOOTP_BYTES : _BOOTP_BYTES + 4] != _COOKIE:
        return None
    options = _options(payload[_BOOTP_BYTES + 4 :])
    kind = options.get(_TYPE, b"")
    if len(kind) != 1:
        return None
    return Message(
        reply=payload[0] == _REPLY,
        type=kind[0],
        xid=struct.unpack_from(">I", payload, 4)[0],
        mac=payload[28:34],
        address=".".join(map(str, payload[16:20])),
        host_name=options.get(_HOST_NAME, b""),
        client_id=options.get(_CLIENT_ID, b""),
    )


def _udp_payload(frame: bytes) -> bytes | None:
    at = _ETHERNET_BYTES
    if len(frame) < at + 20 or frame[12:14] != b"\x08\x00" or frame[at] >> 4 != 4:
        return None
    if frame[at + 9] != 17 or struct.unpack_from(">H", frame, at + 6)[0] & 0x3FFF:  # a fragment
        return None
    at += (frame[at] & 15) * 4
    if len(frame) < at + 8:
        return None
    source, target, size = struct.unpack_from(">HHH", frame, at)
    if {source, target} != _PORTS or len(frame) < at + size:
        return None
    return frame[at + 8 : at + size]


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != _END:
        if data[at] == _PAD:
            at += 1
            continue
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            break
        code, size = data[at], data[at + 1]
        found[code] = found.get(code, b"") + data[at + 2 : at + 2 + size]  # RFC 3396
        at += 2 + size
    return found


class Server:
    """Watches one: every message in, a grant out for each ACK."""

    def __init__(self) -> None:
        self._requests: OrderedDict[tuple[int, bytes], Message] = OrderedDict()

    def see(self, frame: bytes) -> Granted | None:
        message = message_of(frame)
        if message is None:
            return None
        key = message.xid, message.mac
        if not message.reply:
            self._requests[key] = message
            if len(self._requests) > _REMEMBERED:
                self._requests.popitem(last=False)
            return None
        if message.type != _ACK or message.address == "0.0.0.0":  # an answer to INFORM
            return None
        request = self._requests.get(key)
        name = request.host_name.decode("utf-8", "replace") if request else ""
        return Granted(
            mac=message.mac,
            address=message.address,
            host_name=name,
            client_id=request.client_id if request else b"",
        )
