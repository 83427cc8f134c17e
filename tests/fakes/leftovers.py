"""What steps left in the guest, which in these tests is this host."""

from __future__ import annotations

import os
import time

_PATIENCE_S = 30


def leftovers() -> list[str]:
    """The private folders of steps that stay; one whose script is just ending is waited for."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        found = [n for n in os.listdir("/tmp") if n.startswith(("vx-step-", "vx-file-"))]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)
