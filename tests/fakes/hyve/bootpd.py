"""Watches a guest's network for DHCP and keeps the leases file, as bootpd would."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fakes.hyve import leases, net
from tests.fakes.hyve.dhcp import Granted, Server
from tests.fakes.hyve.pcap import BadCapture, PcapReader

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.hyve.net import Address
    from tests.fakes.hyve.personality import Personality

_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Bootpd:
    file: Path
    address: Address | None  # None: guests' addresses are reached as they are
    delay_s: float = 0.0
    duid: bool = False

    def follow(self, capture: int) -> None:
        """In the background, until the capture (a pipe) ends."""
        threading.Thread(target=self._follow, args=(capture,), daemon=True).start()

    def lease_of(self, granted: Granted) -> leases.Lease:
        address = self.address
        known = address is not None and granted.address == address.inside
        return leases.Lease(
            address=address.outside if address is not None and known else granted.address,
            mac=granted.mac,
            name=granted.host_name,
            client_id=leases.duid_of(granted.mac) if self.duid else granted.client_id,
            expires=leases.expiry(),
        )

    def _follow(self, capture: int) -> None:
        reader, server = PcapReader(), Server()
        # Read to the very end, whatever comes: a full pipe would stop QEMU.
        while data := os.read(capture, _CHUNK):
            try:
                granted = [grant for packet in reader.feed(data) if (grant := server.see(packet))]
            except BadCapture as error:
                _complain(str(error))
                continue
            for grant in granted:
                self._record_in_time(self.lease_of(grant))
        os.close(capture)

    def _record_in_time(self, lease: leases.Lease) -> None:
        if self.delay_s:
            timer = threading.Timer(self.delay_s, self._record, (lease,))
            timer.daemon = True
            timer.start()
        else:
            self._record(lease)

    def _record(self, lease: leases.Lease) -> None:
        try:
            leases.record(self.file, lease)
        except OSError as error:
            _complain(f"{self.file}: {error.strerror}")


def bootpd_of(personality: Personality, address: Address | None) -> Bootpd:
    return Bootpd(
        file=personality.leases,
        address=address,
        delay_s=personality.late_lease_s,
        duid="duid" in personality.failures,
    )


def record_dead(personality: Personality, mac: str) -> None:
    """An entry from earlier: the same guest at an address where nobody is."""
    lease = leases.Lease(
        address=f"{net.block_of(personality.state)}.{net.DEAD_HOST}",
        mac=bytes.fromhex(mac.replace(":", "")),
        expires=leases.expiry() - leases.LEASE_S // 2,
    )
    leases.record(personality.leases, lease)


def _complain(text: str) -> None:
    os.write(2, f"fake xhyve: leases: {text}\n".encode())
