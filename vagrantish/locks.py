"""Locks that die with their holder, and who that is."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from vagrantish.files import host_errors, make_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.events import Op

_POLL_S = 0.05


@contextmanager
def hold(path: Path, *, what: str, op: Op) -> Iterator[None]:
    """Hold the lock file ``path``; while another vx has it, say which and wait.

    ``what`` names the thing for people: "machine web". Raises HostError, Cancelled.
    """
    make_dir(path.parent)
    with host_errors(f"lock {path}"):
        lock = FileLock(path, thread_local=False)
        told = False
        while True:
            try:
                lock.acquire(blocking=False)
                break
            except Timeout:
                if not told:
                    op.note(f"Waiting for {_holder(path)}, which holds {what}")
                    told = True
                op.cancel.sleep(_POLL_S)
    holder = _holder_file(path)
    try:
        command = " ".join(["vx", *sys.argv[1:]])[:200]
        # Only for others to read: on a full disk `vx destroy`, which frees some, goes on without.
        with suppress(OSError):
            holder.write_text(json.dumps({"pid": os.getpid(), "command": command}))
        yield
    finally:
        with suppress(OSError):
            holder.unlink()
        lock.release()


def _holder_file(path: Path) -> Path:
    return path.with_name(path.name + ".holder")


def _holder(path: Path) -> str:
    try:
        holder = json.loads(_holder_file(path).read_text())
        return f"`{holder['command']}` (pid {holder['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another vx"
