"""Finds hypervisors by what stands on their command lines, where no file tells of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vagrantish import proc
from vagrantish.provider import running

if TYPE_CHECKING:
    from vagrantish.proc import ProcessIdentity

# A hypervisor may be a script, whose interpreter and its options come first. An editor that has
# one open, or a search for its name, is none.
_INTERPRETERS = ("python", "sh", "bash", "dash")
_OPTIONS_MAX = 4


def holders(mark: str, program: str) -> list[ProcessIdentity]:
    """Every ``program`` on this host with ``mark`` on its command line, its sudo left out."""
    found = []
    for pid, words in proc.command_lines():
        if is_run_of(program, words) and running.is_marked(words, mark):
            process = proc.identify(pid)
            if process is not None:
                found.append(process)
    return found


def is_run_of(program: str, words: tuple[str, ...]) -> bool:
    """Whether a command line is that of ``program`` itself, not of something that names it."""
    if not words:
        return False
    # bhyve puts "bhyve: NAME" in place of its words (setproctitle(3)).
    first, *others = (os.path.basename(word.partition(": ")[0]) for word in words)
    if first == program:
        return True
    if not first.startswith(_INTERPRETERS):
        return False
    script = next((word for word in others[: _OPTIONS_MAX + 1] if not word.startswith("-")), "")
    return script == program


def program_of(argv: tuple[str, ...]) -> str:
    """The name of the hypervisor itself in a command that may begin with sudo and its options."""
    first, *words = (os.path.basename(word) for word in argv)
    if first != "sudo":
        return first
    return next((word for word in words if not word.startswith("-")), first)
