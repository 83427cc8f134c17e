"""Builds what the tests here boot, ahead of them: ``python -m tests.vm.prepare``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.fakes import images, tinycore, uefi_image

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Nothing is done of what cannot be: the tests that need it say what is missing."""
    if not images.MISSING:
        _timed("disk images", images.open_images().build_all)
    if not uefi_image.MISSING:
        _timed("a disk that boots by UEFI", uefi_image.cached)
    if tinycore.MISSING is None:
        _timed("Tiny Core's stand-in", tinycore.cached)


def _timed(what: str, build: Callable[[], object]) -> None:
    began = time.monotonic()
    build()
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
