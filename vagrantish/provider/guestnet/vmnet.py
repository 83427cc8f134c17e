"""What macOS's vmnet keeps of its network: where the host is in it, and which MAC a UUID has."""

from __future__ import annotations

import ipaddress
import plistlib
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID
from xml.parsers.expat import ExpatError

from vagrantish.provider.guestnet.addresses import mac_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SETTINGS = Path("/Library/Preferences/SystemConfiguration/com.apple.vmnet.plist")
_SIZE_MAX = 4 << 20
_DEPTH_MAX = 6
_VALUES_MAX = 20_000
# What plistlib raises on damage.
_DAMAGED = (
    plistlib.InvalidFileException, ExpatError, ValueError, TypeError, AttributeError, LookupError,
    RecursionError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Vmnet:
    host: ipaddress.IPv4Interface | None  # None where it is not told
    macs: Mapping[UUID, bytes]  # by the UUID as vmnet got it

    def mac(self, uuid: str) -> bytes | None:
        """Of the guest that xhyve started with ``-U uuid``.

        vmnet gets its first three fields in the host's byte order (xhyve
        include/xhyve/support/uuid.h).
        """
        try:
            return self.macs.get(UUID(bytes=UUID(uuid).bytes_le))
        except ValueError:
            return None


_NOTHING = Vmnet(host=None, macs=MappingProxyType({}))


def read(path: Path = SETTINGS) -> Vmnet:
    """Empty where there is no such file, or none that can be read."""
    try:
        found = path.stat()
    except OSError:
        return _NOTHING
    if not stat.S_ISREG(found.st_mode) or found.st_size > _SIZE_MAX:
        return _NOTHING
    return _read_at(path, (found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=4)
def _read_at(path: Path, _stamp: tuple[int, ...]) -> Vmnet:
    """A guest is looked for many times a second, and the file rarely changes."""
    try:
        with path.open("rb") as file:
            return parse(file.read(_SIZE_MAX))
    except OSError:
        return _NOTHING


def parse(raw: bytes) -> Vmnet:
    """Pure. Looks for what it needs at any place: the layout is nowhere written down."""
    try:
        document = plistlib.loads(raw)
    except _DAMAGED:
        document = None
    tables = tuple(_tables(document))
    return Vmnet(
        host=next(filter(None, map(_host_in, tables)), None),
        macs=dict(pair for table in tables if (pair := _pair_in(table)) is not None),
    )


def _tables(document: object) -> Iterator[dict[str, Any]]:
    """Every dictionary in it, the outer ones first."""
    level, seen = [document], 0
    for _ in range(_DEPTH_MAX):
        inner: list[object] = []
        for value in level:
            seen += 1
            if seen > _VALUES_MAX:
                return
            if isinstance(value, dict):
                yield value
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        level = inner[:_VALUES_MAX]


def _host_in(table: dict[str, Any]) -> ipaddress.IPv4Interface | None:
    address, mask = table.get("Shared_Net_Address"), table.get("Shared_Net_Mask")
    if not isinstance(address, str) or not isinstance(mask, str):
        return None
    try:
        return ipaddress.IPv4Interface(f"{address}/{mask}")
    except ValueError:
        return None


def _pair_in(table: dict[str, Any]) -> tuple[UUID, bytes] | None:
    uuid, mac = table.get("UUID_MAC"), table.get("MAC_ADDRESS")
    if isinstance(mac, str):
        mac = mac_of(mac)
    if not isinstance(mac, bytes) or len(mac) != 6:
        return None
    try:
        if isinstance(uuid, bytes):
            return UUID(bytes=uuid), mac
        return (UUID(uuid), mac) if isinstance(uuid, str) else None
    except ValueError:
        return None
