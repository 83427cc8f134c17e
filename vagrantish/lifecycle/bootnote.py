"""Why a machine's last boot failed, kept for those who ask later."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vagrantish.errors import BootError, HostError, HostKeyChanged
from vagrantish.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.paths import MachineLayout

SCHEMA = 1
_FILE_MAX = 1 << 16


@contextmanager
def kept(layout: MachineLayout) -> Iterator[None]:
    """Whatever ends the wait in here is noted; what a boot before left is forgotten."""
    layout.boot_failure.unlink(missing_ok=True)
    try:
        yield
    except (BootError, HostKeyChanged) as error:
        told = {
            "schema": SCHEMA,
            "cause": error.cause,
            "stage": error.stage,
            "message": error.message,
            "at": round(time.time(), 3),
        }
        try:
            write_atomic(layout.boot_failure, json.dumps(told).encode() + b"\n", mode=0o600)
        except HostError:
            pass  # a full disk: the failure itself is what the user must hear of
        raise


def cause_of(layout: MachineLayout) -> str | None:
    """The id of what ended the last boot, "" where nobody knew; None when it did not fail."""
    try:
        with open(layout.boot_failure, "rb") as file:
            told = json.loads(file.read(_FILE_MAX))
        return str(told["cause"]) if told["schema"] == SCHEMA else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
