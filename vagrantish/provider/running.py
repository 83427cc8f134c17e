"""Whether a machine's hypervisor runs, from its files and the process table alone.

This is most of ``vx status``, so nothing heavy is imported before it is needed. A bare pid is
never believed: the process must be the very one that was noted, or carry this machine's own
pid file on its command line (vx was killed before it could note it).
"""

from __future__ import annotations

import json
import os

from vagrantish import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vagrantish.model import Forward
    from vagrantish.paths import MachineLayout
    from vagrantish.proc import ProcessIdentity

SCHEMA = 1
_NOTE_MAX = 1 << 16


def find(layout: MachineLayout) -> ProcessIdentity | None:
    """The hypervisor process of this machine; one look."""
    noted = _identity_in(read_note(layout))
    if noted is not None and proc.is_alive(noted):
        return noted
    return find_unnoted(layout)


def find_unnoted(layout: MachineLayout) -> ProcessIdentity | None:
    """The process that the hypervisor's own pid file names, if it says itself whose it is."""
    pid = proc.read_pid_file(layout.pid_file)
    process = proc.identify(pid) if pid is not None else None
    if process is None:
        return None
    said = option_of(proc.arguments(process.pid), "-pidfile")
    is_ours = said is not None and os.path.realpath(said) == os.path.realpath(layout.pid_file)
    return process if is_ours else None


def option_of(argv: tuple[str, ...], option: str) -> str | None:
    """The value after the first ``option`` of a command line."""
    try:
        return argv[argv.index(option) + 1]
    except (ValueError, IndexError):
        return None


def is_ready(layout: MachineLayout) -> bool:
    """Whether the guest was ready once in this run; means something only while ``find`` answers."""
    note = read_note(layout)
    return note is not None and note.get("ready") is True


def mark_ready(layout: MachineLayout, *, boots: int = 1) -> None:
    """Note that the guest became ready, and for the how-manieth time. Raises HostError."""
    note = _note_of_live(layout)
    if note is not None and (note.get("ready"), note.get("boots")) != (True, boots):
        write_note(layout, {**note, "ready": True, "boots": boots})


def boots(layout: MachineLayout) -> int:
    """How often the guest was seen ready in this run of the hypervisor; it may reboot by itself."""
    note = read_note(layout)
    count = note.get("boots") if note else None
    return count if isinstance(count, int) else 0


def address(layout: MachineLayout) -> tuple[str, int] | None:
    """(host, port) the guest's sshd is reached at; None while unknown or not running."""
    note = _note_of_live(layout)
    where = note.get("address") if note else None
    if not isinstance(where, dict):
        return None
    host, port = where.get("host"), where.get("port")
    return (host, port) if isinstance(host, str) and isinstance(port, int) else None


def forwards(layout: MachineLayout) -> tuple[Forward, ...]:
    """The forwards as they came out, ssh's own left out; empty when not running."""
    from vagrantish.model import Forward

    note = _note_of_live(layout)
    found = note.get("forwards") if note else None
    try:
        return tuple(
            Forward(
                guest=int(row["guest"]),
                host=int(row["host"]),
                host_ip=str(row["host_ip"]),
                proto=str(row["proto"]),
            )
            for row in (found if isinstance(found, list) else ())
        )
    except (KeyError, TypeError, ValueError):
        return ()


def read_note(layout: MachineLayout) -> dict[str, Any] | None:
    """What ``process.json`` holds; a damaged or foreign one counts as absent."""
    try:
        with open(layout.process, "rb") as file:
            note = json.loads(file.read(_NOTE_MAX))
    except (OSError, ValueError, RecursionError):
        return None
    return note if isinstance(note, dict) and note.get("schema") == SCHEMA else None


def write_note(layout: MachineLayout, note: dict[str, Any]) -> None:
    """Replace ``process.json`` whole. Raises HostError."""
    from vagrantish.files import write_atomic

    write_atomic(layout.process, json.dumps(note, indent=1).encode() + b"\n", mode=0o600)


def note_of(
    process: ProcessIdentity, where: tuple[str, int], routes: tuple[Forward, ...]
) -> dict[str, Any]:
    """What is noted of a hypervisor that was just started."""
    return {
        "schema": SCHEMA,
        "pid": process.pid,
        "started": process.started,
        "program": process.program,
        "address": {"host": where[0], "port": where[1]},
        "forwards": [
            {"guest": f.guest, "host": f.host, "host_ip": f.host_ip, "proto": f.proto}
            for f in routes
        ],
        "ready": False,
    }


def _note_of_live(layout: MachineLayout) -> dict[str, Any] | None:
    """The note of the process that runs, made up for where vx was killed before it wrote one."""
    note = read_note(layout)
    noted = _identity_in(note)
    if noted is not None and proc.is_alive(noted):
        return note
    if find_unnoted(layout) is None:
        return None
    from vagrantish.provider.qemu.adopt import adopt

    return adopt(layout)


def _identity_in(note: dict[str, Any] | None) -> ProcessIdentity | None:
    if note is None:
        return None
    pid, started, program = note.get("pid"), note.get("started"), note.get("program")
    if isinstance(pid, int) and isinstance(started, str) and isinstance(program, str):
        return proc.ProcessIdentity(pid, started, program)
    return None
