"""What became of a machine's last boot, kept for those who ask later."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from vagrantish.errors import BootError, HostError, HostKeyChanged
from vagrantish.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.paths import MachineLayout

SCHEMA = 1
_FILE_MAX = 1 << 16


class BootNote(NamedTuple):
    ready: bool  # the guest ran a command over ssh
    cause: str = ""  # the id of what ended the wait for it; "" where nobody knew
    message: str = ""


@contextmanager
def kept(layout: MachineLayout) -> Iterator[None]:
    """Whatever ends the wait in here is noted; what a boot before left is forgotten."""
    forget(layout)
    try:
        yield
    except (BootError, HostKeyChanged) as error:
        told = {"ready": False, "cause": error.cause, "stage": error.stage}
        _write(layout, told | {"message": error.message})
        raise
    _write(layout, {"ready": True})


def forget(layout: MachineLayout) -> None:
    layout.boot_note.unlink(missing_ok=True)


def read(layout: MachineLayout) -> BootNote | None:
    """None while a boot goes on, and where nobody noted how it went."""
    try:
        with open(layout.boot_note, "rb") as file:
            told = json.loads(file.read(_FILE_MAX))
        if told["schema"] != SCHEMA:
            return None
        cause, message = told.get("cause", ""), told.get("message", "")
        return BootNote(ready=told["ready"] is True, cause=str(cause), message=str(message))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _write(layout: MachineLayout, told: dict[str, object]) -> None:
    whole = {"schema": SCHEMA, **told, "at": round(time.time(), 3)}
    with suppress(HostError):  # a full disk: the boot itself is what the user must hear of
        write_atomic(layout.boot_note, json.dumps(whole).encode() + b"\n", mode=0o600)
