"""The leases file of dnsmasq, made of the one the other double's bootpd keeps."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LEASE = re.compile(r"\{\n(.*?)^\}\n", re.DOTALL | re.MULTILINE)
_LOOK_S = 0.05


def keep_leases(theirs: Path, ours: Path) -> None:
    """In the background, until the process ends."""

    def follow() -> None:
        before = b""
        while True:
            with suppress(OSError):
                text = theirs.read_bytes()
                if text != before:
                    before = text
                    staged = ours.with_name(f".{ours.name}.{os.getpid()}")
                    staged.write_text(as_dnsmasq(text.decode("utf-8", "replace")), "utf-8")
                    staged.replace(ours)
            time.sleep(_LOOK_S)

    signals = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    threading.Thread(target=follow, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_SETMASK, signals)


def as_dnsmasq(text: str) -> str:
    """macOS's leases file as dnsmasq's: ``expiry mac ip name client-id``."""
    lines = []
    for block in _LEASE.findall(text):
        values = dict(line.strip().partition("=")[::2] for line in block.splitlines())
        kind, _, octets = values.get("hw_address", "").partition(",")
        if kind != "1":
            continue
        mac = ":".join(octet.zfill(2) for octet in octets.split(":"))
        expiry = int(values["lease"], 16)
        lines.append(
            f"{expiry} {mac} {values['ip_address']} {values.get('name') or '*'} 01:{mac}\n"
        )
    return "".join(lines)
