"""Puts the doubles where programs are looked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[3]
# Program → the module and the function that are it.
PROGRAMS = {
    "bhyve": ("main", "main"),
    "bhyveload": ("loaders", "bhyveload"),
    "grub-bhyve": ("grub", "grub"),
    "bhyvectl": ("tools", "bhyvectl"),
    "ifconfig": ("tools", "ifconfig"),
}


def install(folder: Path, settings: Mapping[str, str] | None = None) -> Path:
    """All of them in the folder (made if missing); answers bhyve's path.

    Their settings are FAKE_BHYVE_* variables, for where the environment is not passed on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, (module, function) in PROGRAMS.items():
        program = folder / name
        program.write_text(
            f"#!{Path(sys.executable).resolve()} -IS\n"
            f"import os, sys\n"
            f"sys.path.insert(0, {str(ROOT)!r})\n"
            f"os.environ.update({dict(settings or {})!r})\n"
            f"from tests.fakes.beehive.{module} import {function}\n"
            f"{function}(sys.argv)\n",
            encoding="utf-8",
        )
        program.chmod(0o755)
    return folder / "bhyve"
