"""Finds hypervisors by what stands on their command lines, where no file tells of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vagrantish import proc
from vagrantish.provider import running

if TYPE_CHECKING:
    from vagrantish.proc import ProcessIdentity

_HEAD = 6  # words: an interpreter's, or sudo's, options come before the program


def holders(mark: str, program: str) -> list[ProcessIdentity]:
    """Every ``program`` on this host with ``mark`` on its command line, its sudo left out."""
    found = []
    for pid, words in proc.command_lines():
        # bhyve puts "bhyve: NAME" in place of its words (setproctitle(3)).
        names = [os.path.basename(word.partition(": ")[0]) for word in words[:_HEAD]]
        if program in names and "sudo" not in names and running.is_marked(words, mark):
            process = proc.identify(pid)
            if process is not None:
                found.append(process)
    return found


def program_of(argv: tuple[str, ...]) -> str:
    """The name of the hypervisor itself in a command that may begin with sudo and its options."""
    first, *words = (os.path.basename(word) for word in argv)
    if first != "sudo":
        return first
    return next((word for word in words if not word.startswith("-")), first)
