"""Asks a guest to power off while its hypervisor is watched."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from vagrantish.errors import VxError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.events import Op


class Asking:
    """Asks the guest in a thread of its own: an ssh that hangs must not hold up the rest."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="ask-guest")
        self._thread.start()

    def has_failed(self) -> bool:
        return self._failure is not None

    def report(self, op: Op) -> None:
        """Tell why the guest could not be asked; a bug in asking is raised as it is."""
        if isinstance(self._failure, VxError):
            op.note(f"The guest could not be asked to power off: {self._failure.message}")
        elif self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._ask()
        except Exception as error:  # noqa: BLE001 - carried to the main thread, raised or told there
            self._failure = error
