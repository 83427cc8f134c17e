"""The computer and VX_HOME."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.errors import HostError
from vagrantish.lifecycle.doctor.finding import Finding, Level, ok
from vagrantish.paths import SOCKET_PATH_MAX
from vagrantish.ssh.program import find_ssh
from vagrantish.units import GIB, format_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.paths import VxHome

_OLDEST_PYTHON = (3, 11)
_OLDEST_MACOS = 11
_LITTLE_SPACE, _NO_SPACE = 5 * GIB, GIB
_LITTLE_MEMORY = GIB
_FILES_LOOKED_AT = 50_000
_ANY_ID = "00000000"


@dataclass(frozen=True, kw_only=True)
class HostState:
    """What was seen of the computer."""

    system: str  # "Linux", "Darwin", "FreeBSD"
    release: str  # for people: "Debian GNU/Linux 12 (bookworm)", "macOS 14.5"
    macos: tuple[int, ...]  # (14, 5); () elsewhere
    arch: str
    translated: bool  # this Python runs under Rosetta
    cpus: int
    memory_bytes: int
    python: tuple[int, int]
    ssh: str  # path of the program; "" without
    ssh_hint: str


@dataclass(frozen=True, kw_only=True)
class HomeState:
    """What was seen of VX_HOME."""

    root: Path
    exists: bool
    writable: bool
    mode: int
    owned: bool  # by the user
    free_bytes: int | None
    foreign: tuple[Path, ...]  # files in it that belong to somebody else
    longest_socket: int  # bytes of the path of a machine's longest socket


def see_host() -> HostState:
    mac = platform.mac_ver()[0]
    try:
        ssh, ssh_hint = find_ssh(), ""
    except HostError as error:
        ssh, ssh_hint = "", error.hint
    return HostState(
        system=platform.system(),
        release=f"macOS {mac}" if mac else _linux_name(),
        macos=tuple(int(part) for part in mac.split(".") if part.isdigit()),
        arch=platform.machine(),
        translated=is_translated(),
        cpus=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        python=(sys.version_info[0], sys.version_info[1]),
        ssh=ssh,
        ssh_hint=ssh_hint,
    )


def is_translated() -> bool:
    """Whether an Intel Python runs on Apple silicon."""
    if sys.platform != "darwin":
        return False
    from vagrantish.provider import child

    try:
        answer = child.run(("/usr/sbin/sysctl", "-n", "sysctl.proc_translated"), timeout_s=5)
    except HostError:
        return False
    return answer.status == 0 and answer.output.strip() == "1"


def see_home(home: VxHome) -> HomeState:
    layout = home.machine(_ANY_ID)
    try:
        found = home.root.stat()
    except OSError:
        found = None
    return HomeState(
        root=home.root,
        exists=found is not None,
        writable=os.access(home.root if found else _nearest(home.root), os.W_OK | os.X_OK),
        mode=stat.S_IMODE(found.st_mode) if found else 0o700,
        owned=found is None or found.st_uid == os.getuid(),
        free_bytes=_free_bytes(home.root),
        foreign=_foreign_files(home.root),
        longest_socket=max(
            len(os.fsencode(path)) for path in (layout.qmp_socket, layout.console_socket)
        ),
    )


def host_findings(host: HostState) -> Iterator[Finding]:
    cpus = "1 processor" if host.cpus == 1 else f"{host.cpus} processors"
    seen = f"{host.release}, {host.arch}, {cpus}, {format_size(host.memory_bytes)} of memory"
    if host.macos and host.macos[0] < _OLDEST_MACOS:
        yield Finding(
            id="host.system",
            level=Level.WARNING,
            text=f"{seen}: older than macOS {_OLDEST_MACOS}, which vx was made for",
            hint="Update macOS, or expect that hypervisors and guests' networks fail.",
        )
    else:
        yield ok("host.system", seen)
    if host.translated:
        yield Finding(
            id="host.rosetta",
            level=Level.WARNING,
            text="this Python is an Intel program that runs under Rosetta",
            hint="Install a Python for arm64: under Rosetta no hypervisor can be used.",
        )
    if host.memory_bytes < _LITTLE_MEMORY:
        yield Finding(
            id="host.memory",
            level=Level.WARNING,
            text=f"there are only {format_size(host.memory_bytes)} of memory",
            hint='Give machines little: `memory = "128MiB"` does for the micro box.',
        )
    yield ok("host.python", ".".join(map(str, host.python)))
    if host.ssh:
        yield ok("host.ssh", host.ssh)
    else:
        yield Finding(
            id="host.ssh",
            level=Level.ERROR,
            text="the ssh program is not installed: `vx ssh` and forwarded ports need it",
            hint=host.ssh_hint,
        )


def home_findings(home: HomeState) -> Iterator[Finding]:
    yield from _place(home)
    yield from _space(home)
    if home.foreign:
        others = f" and {len(home.foreign) - 1} more" if len(home.foreign) > 1 else ""
        yield Finding(
            id="host.owner",
            level=Level.ERROR,
            text=f"{home.root} holds files that are not yours: {home.foreign[0]}{others}",
            hint=f'Take them over: `sudo chown -R "$(id -un)" {home.root}`. Run vx itself without '
            "sudo.",
        )


def _place(home: HomeState) -> Iterator[Finding]:
    if not home.writable or not home.owned:
        yield Finding(
            id="host.home",
            level=Level.ERROR,
            text=f"VX_HOME, {home.root}, cannot be written by you",
            hint="Point VX_HOME at a folder of your own.",
        )
    elif home.mode & 0o077:
        yield Finding(
            id="host.home",
            level=Level.WARNING,
            text=f"VX_HOME, {home.root}, is open to others (mode {home.mode:04o})",
            hint=f"`chmod 700 {home.root}` closes it.",
            fix=lambda _op: home.root.chmod(0o700),
        )
    else:
        yield ok("host.home", f"{home.root}{'' if home.exists else ' (made when it is needed)'}")
    if home.longest_socket > SOCKET_PATH_MAX:
        yield Finding(
            id="host.path-length",
            level=Level.ERROR,
            text=f"VX_HOME is too long a path for the sockets of machines: {home.longest_socket} "
            f"bytes, at most {SOCKET_PATH_MAX} work",
            hint="Set VX_HOME to a shorter one, such as ~/.vx.",
        )
    if "," in str(home.root):
        yield Finding(
            id="host.path-comma",
            level=Level.WARNING,
            text=f"VX_HOME has a comma in it, which xhyve, hyperkit, vfkit and bhyve cannot take: "
            f"{home.root}",
            hint="Set VX_HOME to a path without one, or use qemu.",
        )


def _space(home: HomeState) -> Iterator[Finding]:
    if home.free_bytes is None:
        return
    text = f"{format_size(home.free_bytes)} free for boxes and machines"
    if home.free_bytes >= _LITTLE_SPACE:
        yield ok("host.space", text)
        return
    yield Finding(
        id="host.space",
        level=Level.ERROR if home.free_bytes < _NO_SPACE else Level.WARNING,
        text=f"only {text}, at {home.root}",
        hint="`vx box prune` removes boxes nothing needs; or move VX_HOME to a larger disk.",
    )


def _linux_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def _nearest(path: Path) -> Path:
    """The nearest parent that exists."""
    return next((parent for parent in path.parents if parent.exists()), path)


def _free_bytes(root: Path) -> int | None:
    try:
        return shutil.disk_usage(root if root.exists() else _nearest(root)).free
    except OSError:
        return None


def _foreign_files(root: Path) -> tuple[Path, ...]:
    """Files below ``root`` that are somebody else's; looks at no more than it has time for."""
    mine, found, left = os.getuid(), [], _FILES_LOOKED_AT
    folders = [root]
    while folders and left > 0:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:
            continue
        for entry in entries:
            left -= 1
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if status.st_uid != mine:
                found.append(root / entry.path)
            elif stat.S_ISDIR(status.st_mode):
                folders.append(root / entry.path)
    return tuple(found)
