"""Whether a guest that is silent still lives."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import paramiko

from vagrantish.errors import SSHError

if TYPE_CHECKING:
    from paramiko import Transport


class Pulse:
    """Asks a silent guest for a sign of life, at the level of ssh.

    A frozen guest keeps its TCP connection: user-mode networking answers for it. One request is
    under way at most; ``check`` never blocks.
    """

    def __init__(
        self, transport: Transport, *, quiet_s: float = 15, silence_s: float = 120
    ) -> None:
        self._transport = transport
        self._quiet_s = quiet_s
        self._silence_s = silence_s
        self._asking = False
        self._heard_at = time.monotonic()

    def rest(self) -> None:
        """The guest was heard just now."""
        if not self._asking:
            self._heard_at = time.monotonic()

    def check(self) -> None:
        """Raises SSHError when the guest has not answered for too long."""
        silent_s = time.monotonic() - self._heard_at
        if self._asking:
            if silent_s > self._silence_s:
                raise SSHError(
                    f"the guest has not answered for {silent_s:.0f} s: it hangs or is suspended",
                    hint="Look at what it said last: `vx logs`. `vx halt --force` cuts its power.",
                )
        elif silent_s > self._quiet_s:
            self._asking = True
            threading.Thread(target=self._ask, name="vx-pulse", daemon=True).start()

    def _ask(self) -> None:
        try:
            # Any server answers a request it does not know, with a refusal (RFC 4254, section 4).
            self._transport.global_request("keepalive@openssh.com", wait=True)
        except (paramiko.SSHException, EOFError, OSError):
            return  # the connection is gone, which whoever waits for it sees
        self._heard_at = time.monotonic()
        self._asking = False
