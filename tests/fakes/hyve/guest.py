"""What boots behind the double's front: the seam between parsing, console, exit and the guest."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Ending(Enum):
    """How a guest came to its end by itself."""

    POWEROFF = "poweroff"
    RESET = "reset"
    HALT = "halt"
    DIED = "died"  # nothing the guest asked for: a triple fault, or QEMU ended by itself


class Guest(Protocol):
    """A virtual machine. One thread calls everything here except what it reads from a console."""

    @property
    def said(self) -> str:
        """What goes to stderr when it DIED; may be empty."""

    def start(self) -> None:
        """Starts running. Raises OSError when it cannot; consoles are usable afterwards."""

    def console(self, index: int) -> int:
        """COM1 (0) or COM2 (1): a connected, non-blocking descriptor, bytes both ways.

        Owned by the guest. At its end there is EOF after the last byte it wrote. Asked for once
        after start, and only for what the command line attaches."""

    def poll(self, timeout_s: float) -> Ending | None:
        """Waits so long at most; an ending is told at every later call too."""

    def press_power_button(self) -> bool:
        """Whether the guest has ACPI enabled: if not, nothing was pressed."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def kill(self) -> None:
        """At once, and waits until nothing of it is left. Safe to repeat, and after an ending."""
