"""For people who work on vx: what its modules log, on stderr."""

from __future__ import annotations

import logging
import platform
import sys

from vagrantish import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_FORMAT = "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s [%(threadName)s] %(message)s"


def start(level: str) -> Callable[[], None]:
    """Log from ``level`` on; call what is returned to end it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT, "%H:%M:%S"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level.upper())

    logging.getLogger("vagrantish").info(
        "vx %s, Python %s, %s", __version__, platform.python_version(), platform.platform()
    )

    def stop() -> None:
        root.removeHandler(handler)
        root.setLevel(before)

    return stop
