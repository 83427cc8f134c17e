"""How long fuzzing goes on: a moment with the other tests, minutes with ``make fuzz``."""

from __future__ import annotations

import os


def rounds(default: int) -> int:
    """``default`` examples, or as many times more as VX_FUZZ says."""
    return default * int(os.environ.get("VX_FUZZ", "1"))
