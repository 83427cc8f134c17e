"""What became of each step, kept in one file of the machine."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from vagrantish.files import write_atomic
from vagrantish.provision.base import Status

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Self

    from vagrantish.events import Op

_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    fingerprint: str
    status: Status
    at: float  # seconds since 1970
    seconds: float


class StepMemory:
    """Results by step name. What cannot be read counts as nothing remembered: steps run again."""

    def __init__(self, path: Path | None, records: dict[str, StepRecord]) -> None:
        self._path = path
        self._records = records

    @classmethod
    def load(cls, path: Path, *, op: Op | None = None) -> Self:
        """``op`` hears of a file that cannot be understood."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls(path, {})
        except (OSError, UnicodeError) as error:
            return cls._unreadable(path, op, str(error))
        try:
            data = json.loads(text)
            if data["schema"] != _SCHEMA:
                return cls._unreadable(path, op, f"it has schema {data['schema']!r}")
            records = {str(name): _record(raw) for name, raw in data["steps"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return cls._unreadable(path, op, str(error) or type(error).__name__)
        return cls(path, records)

    @classmethod
    def empty(cls) -> Self:
        """Remembers nothing, and is written nowhere."""
        return cls(None, {})

    @classmethod
    def _unreadable(cls, path: Path, op: Op | None, why: str) -> Self:
        if op is not None:
            op.warn(f"{path} cannot be understood ({why}); every step counts as never run")
        return cls(path, {})

    def find(self, name: str) -> StepRecord | None:
        return self._records.get(name)

    def record(self, name: str, fingerprint: str, status: Status, *, seconds: float) -> None:
        """Remember at once. Raises HostError."""
        self._records[name] = StepRecord(
            fingerprint=fingerprint, status=status, at=round(time.time(), 3), seconds=seconds
        )
        self._write()

    def clear(self) -> None:
        """Forget every step: the guest they were done in is gone."""
        self._records.clear()
        if self._path is not None and self._path.exists():
            self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        steps = {name: asdict(record) for name, record in self._records.items()}
        text = json.dumps({"schema": _SCHEMA, "steps": steps}, indent=1)
        # A fingerprint of a step with secrets could be searched for short ones.
        write_atomic(self._path, text.encode() + b"\n", mode=0o600)


def _record(raw: Any) -> StepRecord:
    return StepRecord(
        fingerprint=str(raw["fingerprint"]),
        status=Status(raw["status"]),
        at=float(raw["at"]),
        seconds=float(raw["seconds"]),
    )
