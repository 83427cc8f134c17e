"""Asks for sudo's password once, on the user's terminal, before anything is started."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.errors import ProviderError

if TYPE_CHECKING:
    from vagrantish.events import Op

_ASK_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Need:
    """What root is wanted for, for people."""

    why: str  # before the password is asked for
    nobody: str  # where it cannot be
    refused: str
    hint: str = ""  # the ways to do without a password


def to_start(name: str, ways: str) -> Need:
    return Need(
        why=f"macOS gives a network to {name} only when it runs as root, so sudo asks for your "
        "password. vx itself stays yours. `vx doctor` shows how to do without.",
        nobody=f"{name} needs root for its guest's network, and nobody is there to type a password",
        refused=f"sudo gave no permission, and without root {name} has no network for its guest",
        hint=ways,
    )


def to_end(name: str) -> Need:
    return Need(
        why=f"{name} runs as root, so sudo asks for your password to end it.",
        nobody=f"{name} runs as root, and nobody is there to type the password to end it",
        refused=f"sudo gave no permission, and without it {name}, which runs as root, goes on",
    )


_asking = threading.Lock()  # two machines at once want one password


def has_ticket() -> bool:
    """Whether sudo asks for no password now, in this terminal."""
    try:
        done = subprocess.run(
            ("sudo", "-n", "-v"), stdin=subprocess.DEVNULL, capture_output=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def obtain(need: Need, *, stdin_fd: int | None, op: Op) -> None:
    """Have sudo remember the password for this terminal. Raises ProviderError.

    It is asked for only where ``stdin_fd`` is a terminal; None: nobody is to be asked.
    """
    with _asking:
        _obtain(need, stdin_fd, op)


def _obtain(need: Need, stdin_fd: int | None, op: Op) -> None:
    if has_ticket():
        return
    if stdin_fd is None or not os.isatty(stdin_fd):
        raise ProviderError(
            need.nobody,
            hint=f"Run `sudo -v` and then the same command in one terminal. {need.hint}".strip(),
        )
    op.note(need.why)
    try:
        done = subprocess.run(("sudo", "-v"), stdin=stdin_fd, timeout=_ASK_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise ProviderError(
            f"sudo cannot be asked: {error}", hint="Run `sudo -v` first."
        ) from error
    if done.returncode != 0:
        raise ProviderError(
            need.refused, hint='Ask who administers this Mac, or use `provider = "qemu"`.'
        )
    if not has_ticket():
        raise ProviderError(
            "sudo took the password and does not remember it (timestamp_timeout=0 in sudoers, or "
            "tickets of single processes)",
            hint=need.hint,
        )
