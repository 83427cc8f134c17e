"""Puts the double where a program is looked for."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOUBLE = ROOT / "tests" / "fakes" / "xhyve"


def install(folder: Path, name: str = "xhyve") -> Path:
    """A program of that name in the folder (made if missing) that is the double."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(
        f"#!{Path(sys.executable).resolve()} -IS\n"
        f"import sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"from tests.fakes.hyve.main import main\n"
        f"main(sys.argv)\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return program
