"""Puts the double where a program is looked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[3]


def install(folder: Path, name: str = "vfkit", settings: Mapping[str, str] | None = None) -> Path:
    """A program of that name in the folder (made if missing) that is the double.

    Its settings are FAKE_VFKIT_* variables, for where the environment is not passed on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(
        f"#!{Path(sys.executable).resolve()} -IS\n"
        f"import os, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"os.environ.update({dict(settings or {})!r})\n"
        f"from tests.fakes.applevz.main import main\n"
        f"main(sys.argv)\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return program
