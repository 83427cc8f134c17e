"""Finds bhyve and what belongs to it, and how to become root for it."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from vagrantish.errors import HostError, ProviderError
from vagrantish.provider import child
from vagrantish.provider.base import HostFacts
from vagrantish.provider.bhyve.argv import BHYVE, BHYVECTL, BHYVELOAD, GRUB, IFCONFIG, Programs
from vagrantish.provider.xhyve.privilege import NONE, SUDO, command

if TYPE_CHECKING:
    from vagrantish.model import BhyveOptions

_LOOK_S = 5.0
# Root's programs are not on every user's PATH.
_PLACES = ("/usr/sbin", "/sbin", "/usr/local/sbin")


def find_program(binary: str | None) -> str:
    """Absolute path of bhyve. Raises HostError."""
    wanted = os.path.expanduser(binary or BHYVE)
    found = shutil.which(wanted) or shutil.which(wanted, path=os.pathsep.join(_PLACES))
    if found is not None:
        return os.path.abspath(found)
    if binary is None:
        raise HostError(
            f"there is no {BHYVE} on this host",
            hint="It is a part of FreeBSD on x86_64; on other systems set another `provider`.",
        )
    what = "is not there"
    if os.path.exists(wanted):
        what = "cannot be run: it is a folder, or not marked executable"
    raise HostError(
        f"the bhyve named under [bhyve], {binary}, {what}",
        hint=f"Correct `binary`, or take it out to use the {BHYVE} of this system.",
    )


def programs_beside(bhyve: str) -> Programs:
    """The others in bhyve's own folder, else where they usually are; names where they are not."""
    folder = os.path.dirname(bhyve)
    path = os.pathsep.join([*([folder] if folder else []), os.environ.get("PATH", ""), *_PLACES])

    def found(name: str) -> str:
        return shutil.which(name, path=path) or name

    return Programs(
        bhyve=bhyve,
        bhyvectl=found(BHYVECTL),
        bhyveload=found(BHYVELOAD),
        grub=found(GRUB),
        ifconfig=found(IFCONFIG),
    )


def probe(options: BhyveOptions) -> HostFacts:
    """Raises HostError when bhyve is missing, ProviderError when it cannot be used."""
    program = find_program(options.binary)
    programs = programs_beside(program)
    privilege = privilege_of(options.root, programs)
    _check_kernel()
    _check_bridge(options.bridge, programs.ifconfig)
    release = os.uname().release
    return HostFacts(program=program, version=release, accel=BHYVE, privilege=privilege)


def privilege_of(root: str, programs: Programs, *, euid: int | None = None) -> str:
    """How commands become root's: "" where they are, SUDO. Raises ProviderError.

    sudo must ask for no password, whatever it remembers (-k): a guest that reboots is loaded again
    when nobody is there to type one.
    """
    if (os.geteuid() if euid is None else euid) == 0:
        return NONE
    harmless = ((programs.bhyve, "-h"), (programs.ifconfig, "-l"))
    if root != "never" and shutil.which("sudo"):
        asked = (child.run(("sudo", "-k", "-n", *argv), timeout_s=_LOOK_S) for argv in harmless)
        if all(finished.status == 0 for finished in asked):
            return SUDO
    raise ProviderError(
        "bhyve, its loaders and ifconfig need root, and it cannot be had without a password",
        hint=f"Run vx as root, or let sudo run {programs.bhyve}, {programs.bhyvectl}, "
        f"{programs.grub}, {programs.bhyveload}, {programs.ifconfig} and kill with NOPASSWD.",
    )


def prefix_of(privilege: str) -> tuple[str, ...]:
    """What stands before each command."""
    return command((), privilege)


def _check_kernel() -> None:
    if not sys.platform.startswith("freebsd"):
        return
    if child.run(("kldstat", "-q", "-m", "vmm"), timeout_s=_LOOK_S).status != 0:
        raise ProviderError(
            "the kernel has no vmm, which bhyve needs",
            hint="Load it: `kldload vmm`, and for later boots `sysrc kld_list+=vmm`.",
        )


def _check_bridge(bridge: str, ifconfig: str) -> None:
    if child.run((ifconfig, bridge), timeout_s=_LOOK_S).status != 0:
        raise ProviderError(
            f"there is no bridge {bridge} for the guests' network",
            hint=f"Make it, with an interface that leads out: `ifconfig {bridge} create`, "
            f"`ifconfig {bridge} addm em0 up`; or name another: [bhyve] bridge.",
        )
