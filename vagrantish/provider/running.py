"""Whether a machine's hypervisor runs, from its files and the process table alone.

This is most of ``vx status``, so nothing heavy is imported before it is needed. A bare pid is
never believed: the process must be the very one that was noted, or carry this machine's own
pid file or mark on its command line (whoever was to note it was killed before).
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress

from vagrantish import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from vagrantish.model import Forward
    from vagrantish.paths import MachineLayout
    from vagrantish.proc import ProcessIdentity

SCHEMA = 1
_NOTE_MAX = 1 << 20


def find(layout: MachineLayout) -> ProcessIdentity | None:
    """The hypervisor process of this machine, or its supervisor while there is none; one look."""
    return find_hypervisor(layout) or find_supervisor(layout)


def find_hypervisor(layout: MachineLayout) -> ProcessIdentity | None:
    """The same, but never the supervisor."""
    noted = _identity_in(read_note(layout))
    if noted is not None and proc.is_alive(noted):
        return noted
    return find_unnoted(layout)


def find_supervisor(layout: MachineLayout) -> ProcessIdentity | None:
    """The process of ours beside the hypervisor; None where there is none."""
    note = read_note(layout)
    noted = _identity_in(note.get("supervisor")) if note else None
    return noted if noted is not None and proc.is_alive(noted) else None


def find_unnoted(layout: MachineLayout) -> ProcessIdentity | None:
    """The process that the hypervisor's pid file names, if it says itself whose it is."""
    pid = proc.read_pid_file(layout.pid_file)
    process = proc.identify(pid) if pid is not None else None
    if process is None:
        return None
    words = proc.arguments(process.pid)
    said = option_of(words, "-pidfile")
    if said is not None and os.path.realpath(said) == os.path.realpath(layout.pid_file):
        return process
    job = _read_object(layout.job) or {}
    return process if is_marked(words, job.get("mark")) else None


def is_marked(words: tuple[str, ...], mark: object) -> bool:
    """Whether a command line has ``mark`` on it, in whatever case."""
    return isinstance(mark, str) and mark != "" and mark.lower() in " ".join(words).lower()


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
    with changing(layout):
        note = note_of_live(layout)
        if note is not None and (note.get("ready"), note.get("boots")) != (True, boots):
            write_note(layout, {**note, "ready": True, "boots": boots})


@contextmanager
def changing(layout: MachineLayout) -> Iterator[None]:
    """Held by whoever reads the note and writes it anew: its supervisor does so too."""
    try:
        folder = os.open(layout.directory, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield  # what is to be done there fails, and says so
        return
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def boots(layout: MachineLayout) -> int:
    """How often the guest was seen ready in this run of the hypervisor; it may reboot by itself."""
    note = read_note(layout)
    count = note.get("boots") if note else None
    return count if isinstance(count, int) else 0


def address(layout: MachineLayout) -> tuple[str, int] | None:
    """(host, port) the guest's sshd is reached at; None while unknown or not running."""
    note = note_of_live(layout)
    where = note.get("address") if note else None
    if not isinstance(where, dict):
        return None
    host, port = where.get("host"), where.get("port")
    return (host, port) if isinstance(host, str) and isinstance(port, int) else None


def note_address(layout: MachineLayout, host: str, port: int) -> None:
    """Note where the guest was found, which only shows once it runs. Raises HostError."""
    with changing(layout):
        note = note_of_live(layout)
        where = {"host": host, "port": port}
        if note is not None and note.get("address") != where:
            write_note(layout, {**note, "address": where})


def forwards(layout: MachineLayout) -> tuple[Forward, ...]:
    """The forwards as they came out, ssh's own left out; empty when not running."""
    from vagrantish.model import Forward

    note = note_of_live(layout)
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


def note_forwards(layout: MachineLayout, routes: tuple[Forward, ...]) -> None:
    """Note the forwards of a provider that leaves them to others. Raises HostError."""
    with changing(layout):
        note = note_of_live(layout)
        if note is not None and note.get("forwards") != _rows_of(routes):
            write_note(layout, {**note, "forwards": _rows_of(routes)})


def read_note(layout: MachineLayout) -> dict[str, Any] | None:
    """What ``process.json`` holds; a damaged or foreign one counts as absent."""
    return _read_object(layout.process)


def note_of_live(layout: MachineLayout) -> dict[str, Any] | None:
    """The note of the process that runs, made up where it was lost or vx was killed before it."""
    note = read_note(layout)
    if _noted_alive(note) is not None:
        return note
    process = find_unnoted(layout)
    if process is None:
        return None
    if note is not None and "supervisor" in note:
        return note
    told = _note_of_job(layout, process)
    if told is not None:
        return told
    from vagrantish.provider.qemu.adopt import adopt

    return adopt(layout)


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
        **identity_fields(process),
        "address": {"host": where[0], "port": where[1]},
        "forwards": _rows_of(routes),
        "ready": False,
    }


def _rows_of(routes: tuple[Forward, ...]) -> list[dict[str, Any]]:
    return [
        {"guest": f.guest, "host": f.host, "host_ip": f.host_ip, "proto": f.proto} for f in routes
    ]


def identity_fields(process: ProcessIdentity | None) -> dict[str, Any]:
    if process is None:
        return {}
    return {"pid": process.pid, "started": process.started, "program": process.program}


def _note_of_job(layout: MachineLayout, process: ProcessIdentity) -> dict[str, Any] | None:
    """None where no supervisor was told of that process."""
    job = _read_object(layout.job) or {}
    words, facts = proc.arguments(process.pid), job.get("facts")
    # A machine that QEMU runs now may have been another's.
    is_its = is_marked(words, job.get("mark")) and option_of(words, "-pidfile") is None
    if not is_its or not isinstance(facts, dict):
        return None
    told = {"schema": SCHEMA, "forwards": [], "ready": False, **facts}
    return {**told, "provider": job.get("provider"), **identity_fields(process)}


def _read_object(path: Path) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(_NOTE_MAX))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("schema") == SCHEMA else None


def _noted_alive(note: dict[str, Any] | None) -> ProcessIdentity | None:
    """The hypervisor of a note, else its supervisor, whichever lives."""
    if note is None:
        return None
    for noted in (_identity_in(note), _identity_in(note.get("supervisor"))):
        if noted is not None and proc.is_alive(noted):
            return noted
    return None


def _identity_in(note: object) -> ProcessIdentity | None:
    if not isinstance(note, dict):
        return None
    pid, started, program = note.get("pid"), note.get("started"), note.get("program")
    if isinstance(pid, int) and isinstance(started, str) and isinstance(program, str):
        return proc.ProcessIdentity(pid, started, program)
    return None
