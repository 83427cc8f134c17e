"""Finds vfkit on this host and asks for its version."""

from __future__ import annotations

import os
import re
import shutil

from vagrantish.errors import HostError, ProviderError
from vagrantish.provider import child
from vagrantish.provider.base import HostFacts

PROGRAM = "vfkit"
_VERSION_S = 5.0
_VERSION = re.compile(r"vfkit version: v?(\d+(?:\.\d+)*\S*)")
_ARCHES = {"arm64": "aarch64", "aarch64": "aarch64", "x86_64": "x86_64", "amd64": "x86_64"}
INSTALL = "Install it: `brew install vfkit` (macOS 14 or later)."


def host_arch(machine: str = os.uname().machine) -> str:
    """This host's processors in the words boxes use."""
    return _ARCHES.get(machine.lower(), machine.lower())


def find_program(binary: str | None) -> str:
    """Absolute path of vfkit. Raises HostError."""
    wanted = os.path.expanduser(binary or PROGRAM)
    found = shutil.which(wanted)
    if found is not None:
        return os.path.abspath(found)
    if binary is None:
        raise HostError(f"vfkit is not installed: no {PROGRAM} on PATH", hint=INSTALL)
    what = "is not there"
    if os.path.exists(wanted):
        what = "cannot be run: it is a folder, or not marked executable"
    raise HostError(
        f"the vfkit named under [vfkit], {binary}, {what}",
        hint=f"Correct `binary`, or take it out to use the {PROGRAM} on PATH.",
    )


def probe(binary: str | None) -> HostFacts:
    """Raises HostError when vfkit is missing, ProviderError when it does not work."""
    program = find_program(binary)
    finished = child.run((program, "--version"), timeout_s=_VERSION_S)
    match = _VERSION.search(finished.output)
    if match:
        return HostFacts(program=program, version=match[1][:40], accel=PROGRAM)
    if finished.status is None:
        what = f"did not answer `--version` within {_VERSION_S:g} s"
    else:
        first = finished.output.partition("\n")[0][:100]
        said = f'answered "{first}"' if first else f"ended with status {finished.status}"
        what = f"is not a working vfkit: asked for its version, it {said}"
    raise ProviderError(
        f"{program} {what}", hint=f"Correct `binary` under [vfkit], or reinstall vfkit. {INSTALL}"
    )
