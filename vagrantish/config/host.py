"""What templates may know of this computer."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ARCHES = {"amd64": "x86_64", "arm64": "aarch64"}  # how macOS and the BSDs name them


def host_facts() -> dict[str, Any]:
    """``os`` ("linux", "darwin"), ``arch`` ("x86_64", "aarch64"), ``cpus``, ``memory`` in bytes."""
    system = os.uname()
    machine = system.machine.lower()
    return {
        "os": system.sysname.lower(),
        "arch": _ARCHES.get(machine, machine),
        "cpus": os.cpu_count() or 1,
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }
