"""What became of each step: ``steps.json`` in the machine's folder."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vagrantish.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.events import Op

SCHEMA = 1
DONE, FAILED = "done", "failed"


class StepMemory:
    """Results by step name; written whole after every step, so a kill costs at most one."""

    def __init__(self, path: Path | None, steps: dict[str, dict[str, Any]]) -> None:
        self._path = path
        self._steps = steps

    @classmethod
    def load(cls, path: Path, *, op: Op | None = None) -> StepMemory:
        """A missing or damaged file is an empty memory: the steps then run again.

        ``op`` hears of a damaged one.
        """
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return cls(path, {})
        except OSError:
            raw = b""
        try:
            found = json.loads(raw)
            steps = found["steps"] if found["schema"] == SCHEMA else {}
            known = {str(name): dict(entry) for name, entry in steps.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            if op is not None:
                op.warn(f"{path} is damaged: every step counts as never run")
            known = {}
        return cls(path, known)

    @classmethod
    def empty(cls) -> StepMemory:
        """Of a machine that is not there yet; not to be recorded in."""
        return cls(None, {})

    def status(self, name: str) -> str | None:
        """``done``, ``failed``, or None when it was never tried."""
        found = self._steps.get(name, {}).get("status")
        return found if found in (DONE, FAILED) else None

    def fingerprint(self, name: str) -> str | None:
        """What the step was when it was last tried."""
        found = self._steps.get(name, {}).get("fingerprint")
        return found if isinstance(found, str) else None

    def record(self, name: str, *, fingerprint: str, status: str, seconds: float) -> None:
        """Raises HostError."""
        self._steps[name] = {
            "fingerprint": fingerprint,
            "status": status,
            "seconds": round(seconds, 3),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._write()

    def clear(self) -> None:
        """Forget all, when the root file system the steps worked on is gone. Raises HostError."""
        if self._steps:
            self._steps = {}
            self._write()

    def _write(self) -> None:
        if self._path is None:
            raise AssertionError("this memory belongs to no machine")
        body = {"schema": SCHEMA, "steps": self._steps}
        text = json.dumps(body, indent=1, sort_keys=True) + "\n"
        write_atomic(self._path, text.encode(), mode=0o600)
