"""Forwards that an ssh of the host keeps open: its command line, and the notes about it.

Light: the process that keeps it alive runs as long as the machine.
"""

from __future__ import annotations

import json
import os

from vagrantish import proc
from vagrantish.proc import ProcessIdentity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Any

    from vagrantish.model import Forward
    from vagrantish.paths import MachineLayout
    from vagrantish.ssh.target import Target

SCHEMA = 1
# Relative to the machine's folder: OpenSSH binds a longer name first, which must fit a socket's path.
SOCKET = "fwd.sock"
_FILE_MAX = 1 << 20
# A guest that went away without a word is noticed after three of these.
_ALIVE_EVERY_S = 10


class Job:
    """``argv`` is to run while any of ``processes`` lives, in the folder of the job's file.

    ``wanted`` is what was asked for, ``forwards`` what of it came out, in the same order.
    """

    __slots__ = ("argv", "forwards", "processes", "wanted")

    def __init__(
        self,
        *,
        argv: tuple[str, ...],
        processes: tuple[ProcessIdentity, ...],
        wanted: tuple[dict[str, Any], ...],
        forwards: tuple[dict[str, Any], ...],
    ) -> None:
        self.argv = argv
        self.processes = processes
        self.wanted = wanted
        self.forwards = forwards

    def to_json(self) -> bytes:
        fields = {
            "schema": SCHEMA,
            "argv": self.argv,
            "processes": tuple(map(identity_fields, self.processes)),
            "wanted": self.wanted,
            "forwards": self.forwards,
        }
        return json.dumps(fields, indent=1).encode() + b"\n"


class State:
    """The processes that were started for a job; each may be gone by now."""

    __slots__ = ("keeper", "ssh")

    def __init__(self, keeper: ProcessIdentity | None, ssh: ProcessIdentity | None) -> None:
        self.keeper = keeper
        self.ssh = ssh

    def to_json(self) -> bytes:
        fields = {"keeper": identity_fields(self.keeper), "ssh": identity_fields(self.ssh)}
        return json.dumps({"schema": SCHEMA, **fields}).encode() + b"\n"


def master_argv(
    program: str, target: Target, forwards: Iterable[Forward], *, machine: str
) -> tuple[str, ...]:
    """An ssh that forwards and does no more. Raises HostError.

    It is called by the machine's name, for people who look at the host's processes.
    """
    from vagrantish.ssh.program import ssh_argv
    from vagrantish.ssh.target import Target

    named = Target(
        address_host=machine,
        address_port=target.address_port,
        user=target.user,
        key_file=target.key_file,
        known_hosts=target.known_hosts,
        alias=target.alias,
        connect_timeout_s=target.connect_timeout_s,
    )
    routes = [f"-L{f.host_ip}:{f.host}:127.0.0.1:{f.guest}" for f in forwards]
    extra = [
        f"-oControlPath={SOCKET}",
        "-M",
        "-N",
        "-T",
        f"-oHostName={target.address_host}",
        "-oControlPersist=no",
        "-oBatchMode=yes",
        "-oExitOnForwardFailure=yes",
        f"-oServerAliveInterval={_ALIVE_EVERY_S}",
        "-oServerAliveCountMax=3",
        *routes,
    ]
    # The first of two settings holds. This one has ssh say why a connection did not get through.
    return (program, "-oLogLevel=INFO", *ssh_argv(named, extra=extra)[1:])


def exit_argv(program: str, socket: Path) -> tuple[str, ...]:
    """Asks the ssh behind ``socket`` to end. Raises HostError."""
    return _ask_argv(program, socket, "-O", "exit")


def reach_argv(program: str, socket: Path, port: int) -> tuple[str, ...]:
    """Connects to the guest's ``port`` through the ssh behind ``socket``. Raises HostError.

    Why it could not is in the log of that ssh.
    """
    return _ask_argv(program, socket, f"-W127.0.0.1:{port}")


def _ask_argv(program: str, socket: Path, *words: str) -> tuple[str, ...]:
    from vagrantish.ssh.program import quoted

    path = f"-oControlPath={quoted(str(socket))}"
    # Without its master, ssh must not try to find a host of this name.
    return (program, "-F", os.devnull, path, "-oProxyCommand=false", *words, "guest")


def read_job(layout: MachineLayout) -> Job | None:
    """None where there is none, or a damaged one."""
    found = _read(layout.tunnel_job)
    lists = [found.get(key) for key in ("argv", "processes", "wanted", "forwards")]
    words, those, asked, got = (value if isinstance(value, list) else [] for value in lists)
    processes = tuple(process for each in those if (process := identity_in(each)) is not None)
    if not words or not processes or not all(isinstance(word, str) for word in words):
        return None
    if not all(isinstance(row, dict) for row in (*asked, *got)):
        return None
    return Job(argv=tuple(words), processes=processes, wanted=tuple(asked), forwards=tuple(got))


def read_state(layout: MachineLayout) -> State:
    """Those processes that live."""
    found = _read(layout.tunnel_state)
    alive = [
        identity if identity is not None and proc.is_alive(identity) else None
        for identity in (identity_in(found.get("keeper")), identity_in(found.get("ssh")))
    ]
    return State(*alive)


def is_open(layout: MachineLayout) -> bool:
    """ssh binds the ports before it makes its socket, and the keeper removes one that is stale."""
    state = read_state(layout)
    return None not in (state.keeper, state.ssh) and os.path.exists(layout.tunnel_socket)


def identity_fields(process: ProcessIdentity | None) -> dict[str, Any] | None:
    if process is None:
        return None
    return {"pid": process.pid, "started": process.started, "program": process.program}


def identity_in(fields: object) -> ProcessIdentity | None:
    if not isinstance(fields, dict):
        return None
    pid, started, program = (fields.get(key) for key in ("pid", "started", "program"))
    if isinstance(pid, int) and isinstance(started, str) and isinstance(program, str):
        return ProcessIdentity(pid, started, program)
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(_FILE_MAX))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and found.get("schema") == SCHEMA else {}
