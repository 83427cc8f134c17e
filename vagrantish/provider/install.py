"""How a hypervisor is installed. Pure but for looking which package managers there are."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SYSTEM = sys.platform.rstrip("0123456789")  # "linux", "darwin", "freebsd"

# Provider → package manager's program → the command. The first that is there is meant.
_COMMANDS = {
    "qemu": {
        "brew": "brew install qemu",
        "port": "sudo port install qemu",
        "pkg": "pkg install qemu",
        "apt-get": "sudo apt-get install qemu-system-x86",
        "dnf": "sudo dnf install qemu-system-x86-core",
        "zypper": "sudo zypper install qemu-x86",
        "pacman": "sudo pacman -S qemu-system-x86",
        "apk": "sudo apk add qemu-system-x86_64",
    },
    "xhyve": {
        "brew": "brew install --HEAD xhyve",
        "port": "sudo port install xhyve",
    },
    "vfkit": {"brew": "brew install vfkit"},
}
_MANAGERS = {
    "darwin": ("brew", "port"),
    "freebsd": ("pkg",),
    "linux": ("apt-get", "dnf", "zypper", "pacman", "apk", "brew"),
}
_OTHERWISE = {
    "qemu": "Install QEMU with your system's packages, so that qemu-system-x86_64 is found.",
    "xhyve": "Install it with Homebrew (https://brew.sh) or MacPorts, or build it: "
    "`git clone https://github.com/machyve/xhyve && make -C xhyve`, then put build/xhyve on PATH.",
    "hyperkit": "Nobody publishes hyperkit any more; one that Docker or minikube left can be named: "
    "[hyperkit] binary. Otherwise use xhyve.",
    "vfkit": "Install it with Homebrew (https://brew.sh), or take the signed program of a release "
    "of github.com/crc-org/vfkit.",
    "bhyve": "It is part of FreeBSD: run vx there, and load its module with `kldload vmm`. Linux "
    "guests need a loader too: `pkg install grub2-bhyve`.",
}


def hint(
    provider: str,
    system: str = SYSTEM,
    which: Callable[[str], str | None] = shutil.which,
) -> str:
    """What to do about a missing ``provider``, on "linux", "darwin" or "freebsd"."""
    commands = _COMMANDS.get(provider, {})
    for manager in _MANAGERS.get(system, ()):
        if manager in commands and which(manager):
            return f"Install it: `{commands[manager]}`."
    return _OTHERWISE[provider]
