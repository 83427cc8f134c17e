"""A guest that is only acted: it says and does what a script tells, at its time."""

from __future__ import annotations

import os
import re
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fakes.hyve.guest import Ending
from tests.fakes.hyve.texts import vm_exit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.fakes.hyve.model import CommandLine, Slot

_ACTION = re.compile(r"\s*([a-z]+2?)(?:@([0-9.]+))?(?::(.*))?", re.ASCII | re.DOTALL)
_ENDINGS = {
    "poweroff": (Ending.POWEROFF, "reboot: Power down"),
    "reboot": (Ending.RESET, "reboot: Restarting system"),
    "halt": (Ending.HALT, "reboot: System halted"),
    "die": (Ending.DIED, ""),
}
_NAMES = {
    *_ENDINGS, "panic", "acpi", "deaf", "say", "say2", "file", "file2", "echo", "err", "lease",
}  # fmt: skip
_SHUTDOWN_S = 0.1
_FOR_EVER_S = 3600.0


class BadScript(ValueError):
    pass


@dataclass(frozen=True, order=True)
class Action:
    at_s: float
    place: int  # in the script: of two at one time the first is done first
    name: str
    text: str = ""


def actions_of(script: str) -> list[Action]:
    """``say@0.1:hello; poweroff@3``. Raises BadScript."""
    actions = []
    for place, words in enumerate(filter(str.strip, re.split(r"[;\n]", script))):
        action = _ACTION.fullmatch(words.rstrip())
        if not action or action[1] not in _NAMES:
            raise BadScript(f"no such action: {words.strip()}")
        actions.append(Action(float(action[2] or 0), place, action[1], action[3] or ""))
    return sorted(actions)


class ScriptedGuest:
    said = vm_exit(2, 0x1000000)

    def __init__(
        self,
        line: CommandLine,
        actions: Sequence[Action],
        leases: Path,
        macs: Mapping[Slot, str],
    ) -> None:
        self._line = line
        self._actions = list(actions)
        self._leases = leases
        self._macs = macs
        self._pairs: dict[int, tuple[socket.socket, socket.socket]] = {}
        self._began = self._paused_at = 0.0
        self._paused = self._echoes = self._acpi = self._deaf = False
        self._ending: Ending | None = None

    def start(self) -> None:
        self._began = time.monotonic()

    def console(self, index: int) -> int:
        self._pairs[index] = _, theirs = socket.socketpair()
        theirs.setblocking(False)
        return theirs.fileno()

    def poll(self, timeout_s: float) -> Ending | None:
        until = time.monotonic() + timeout_s
        while self._ending is None:
            self._act()
            now = time.monotonic()
            if self._ending is not None or now >= until:
                break
            self._wait(min(until, self._next_at()) - now)
        return self._ending

    def press_power_button(self) -> bool:
        if not self._acpi:
            return False
        if not self._deaf:
            self._deaf = True  # a second press changes nothing
            self._later("poweroff", _SHUTDOWN_S)
        return True

    def pause(self) -> None:
        self._paused, self._paused_at = True, time.monotonic()

    def resume(self) -> None:
        if self._paused:
            self._began += time.monotonic() - self._paused_at
        self._paused = False

    def kill(self) -> None:
        self._end(self._ending or Ending.DIED)

    def _next_at(self) -> float:
        if self._paused or not self._actions:
            return time.monotonic() + _FOR_EVER_S
        return self._began + self._actions[0].at_s

    def _act(self) -> None:
        while self._ending is None and self._next_at() <= time.monotonic():
            self._do(self._actions.pop(0))

    def _do(self, action: Action) -> None:
        match action.name:
            case "say" | "say2":
                self._print(action.text.encode() + b"\r\n", int(action.name.endswith("2")))
            case "file" | "file2":
                data = Path(action.text).read_bytes()
                self._print(data, int(action.name.endswith("2")))
            case "err":
                os.write(2, action.text.encode() + b"\n")
            case "lease":
                self._lease(*action.text.split(maxsplit=1))
            case "acpi" | "deaf":
                self._acpi, self._deaf = self._line.acpi, action.name == "deaf"
            case "echo":
                self._echoes = True
            case "panic":
                self._panic()
            case name:
                self._end_by(name)

    def _lease(self, address: str, name: str = "") -> None:
        from tests.fakes.hyve.leases import Lease, expiry, record

        for mac in self._macs.values():
            octets = bytes.fromhex(mac.replace(":", ""))
            lease = Lease(address=address, mac=octets, name=name, expires=expiry())
            record(self._leases, lease)

    def _panic(self) -> None:
        """Spins for ever, unless the kernel's command line has panic=N."""
        self._print(b"Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r\n")
        cmdline = self._line.firmware.cmdline if self._line.firmware else ""
        words = [word for word in cmdline.split() if re.fullmatch(r"panic=-?\d+", word, re.ASCII)]
        self._actions.clear()
        self._acpi = False
        seconds = int(words[-1].partition("=")[2]) if words else 0
        if seconds:
            self._later("reboot", max(0, seconds))

    def _later(self, name: str, seconds: float) -> None:
        at_s = time.monotonic() - self._began + seconds
        self._actions = sorted([*self._actions, Action(at_s, 0, name)])

    def _end_by(self, name: str) -> None:
        ending, said = _ENDINGS[name]
        if said:
            self._print(f"{said}\r\n".encode())
        self._end(ending)

    def _end(self, ending: Ending) -> None:
        self._ending = ending
        for ours, _theirs in self._pairs.values():
            with suppress(OSError):
                ours.shutdown(socket.SHUT_WR)

    def _print(self, data: bytes, index: int = 0) -> None:
        if index in self._pairs:
            with suppress(OSError):
                self._pairs[index][0].sendall(data)

    def _wait(self, seconds: float) -> None:
        com1 = [self._pairs[0][0]] if 0 in self._pairs and self._echoes else []
        if not com1:
            time.sleep(seconds)
        elif select.select(com1, [], [], seconds)[0]:
            data = com1[0].recv(4096)
            self._echoes = bool(data)
            if not self._paused:
                self._print(data)
