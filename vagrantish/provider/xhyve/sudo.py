"""Asks for sudo's password once, on the user's terminal, before anything is started."""

from __future__ import annotations

import os
import subprocess
import threading
from typing import TYPE_CHECKING

from vagrantish.errors import ProviderError

if TYPE_CHECKING:
    from vagrantish.events import Op

_ASK_S = 300.0
_WHY = (
    "macOS gives a network to xhyve only when it runs as root, so sudo asks for your password. "
    "vx itself stays yours. `vx doctor` shows how to do without."
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


def obtain(*, stdin_fd: int | None, op: Op) -> None:
    """Have sudo remember the password for this terminal. Raises ProviderError.

    It is asked for only where ``stdin_fd`` is a terminal; None: nobody is to be asked.
    """
    with _asking:
        _obtain(stdin_fd, op)


def _obtain(stdin_fd: int | None, op: Op) -> None:
    if has_ticket():
        return
    if stdin_fd is None or not os.isatty(stdin_fd):
        raise ProviderError(
            "xhyve needs root for its guest's network, and nobody is there to type a password",
            hint="Run `sudo -v` and then the same command in one terminal, or let sudo run xhyve "
            "without a password: `vx doctor` prints the rule.",
        )
    op.note(_WHY)
    try:
        done = subprocess.run(("sudo", "-v"), stdin=stdin_fd, timeout=_ASK_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise ProviderError(
            f"sudo cannot be asked: {error}", hint="Run `sudo -v` first."
        ) from error
    if done.returncode != 0:
        raise ProviderError(
            "sudo gave no permission, and without root xhyve has no network for its guest",
            hint='Ask who administers this Mac, or use `provider = "qemu"`.',
        )
