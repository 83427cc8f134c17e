"""What was found out about this host's hypervisors, remembered until the next boot."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vagrantish.files import make_dir, write_atomic

if TYPE_CHECKING:
    from vagrantish.paths import VxHome

_SCHEMA = 1
_SIZE_MAX = 1 << 16
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class HostCache:
    """Facts about one program, in ``host/accel.json``: gone with a reboot or a new binary."""

    def __init__(self, home: VxHome, program: str) -> None:
        self._path = home.host / "accel.json"
        self._program = program
        found = os.stat(program)
        self._key = {"boot": boot_id(), "mtime_ns": found.st_mtime_ns, "size": found.st_size}

    def get(self, name: str) -> Any:
        """What was kept under ``name``; None when nothing was, or it no longer holds."""
        entry = self._load().get(self._program)
        facts = entry.get("facts") if isinstance(entry, dict) and self._holds(entry) else None
        return facts.get(name) if isinstance(facts, dict) else None

    def put(self, name: str, value: Any) -> None:
        """Keep a JSON value. Raises HostError."""
        programs = self._load()
        entry = programs.get(self._program)
        kept = entry.get("facts") if isinstance(entry, dict) and self._holds(entry) else None
        facts = {**(kept if isinstance(kept, dict) else {}), name: value}
        programs[self._program] = {"key": self._key, "facts": facts}
        make_dir(self._path.parent, mode=0o700)
        document = {"schema": _SCHEMA, "programs": programs}
        write_atomic(self._path, json.dumps(document, indent=1).encode() + b"\n", mode=0o600)

    def _holds(self, entry: dict[str, Any]) -> bool:
        return bool(entry.get("key") == self._key)

    def _load(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                document = json.loads(file.read(_SIZE_MAX))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
            return {}
        programs = document.get("programs")
        return programs if isinstance(programs, dict) else {}


def boot_id() -> str:
    """A word that changes when what was measured may have: the boot, or off Linux the system."""
    if sys.platform == "linux":
        try:
            return _BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            pass  # a container may hide it; the system's version must do then
    return os.uname().release
