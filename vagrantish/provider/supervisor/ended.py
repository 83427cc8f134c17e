"""How the last run of a machine ended, as its supervisor wrote it down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vagrantish.diagnosis.endings import Ending, EndingKind

if TYPE_CHECKING:
    from vagrantish.paths import MachineLayout

SCHEMA = 1
_FILE_MAX = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Ended:
    ending: Ending
    at: float  # Unix time
    stderr: str  # the end of what the hypervisor complained of in its last run
    restarts: int = 0  # how often the guest had rebooted
    printed: bool = False  # whether the guest wrote to its console in the last run


def read(layout: MachineLayout) -> Ended | None:
    """None while it runs, and where nothing was written or what was is damaged."""
    try:
        with open(layout.ended, "rb") as file:
            told = json.loads(file.read(_FILE_MAX))
        if told["schema"] != SCHEMA:
            return None
        return Ended(
            ending=Ending(
                kind=EndingKind(told["kind"]),
                text=str(told["text"]),
                status=int(told["status"]),
                seconds=float(told["seconds"]),
                provider=str(told["provider"]),
            ),
            at=float(told["at"]),
            stderr=str(told["stderr"]),
            restarts=int(told["restarts"]),
            printed=told["printed"] is True,
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def text_of(ended: Ended) -> bytes:
    told: dict[str, Any] = {
        "schema": SCHEMA,
        "provider": ended.ending.provider,
        "kind": ended.ending.kind.value,
        "text": ended.ending.text,
        "status": ended.ending.status,
        "seconds": round(ended.ending.seconds, 3),
        "at": round(ended.at, 3),
        "restarts": ended.restarts,
        "printed": ended.printed,
        "stderr": ended.stderr,
    }
    return json.dumps(told, indent=1).encode() + b"\n"
