"""``main`` called as a program would be, in a folder and a home of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from vagrantish.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one command line came to."""

    status: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def error(self) -> dict[str, Any]:
        """The error object: the last line of stderr."""
        found: dict[str, Any] = json.loads(self.err.splitlines()[-1])
        return found


class Cli:
    """``folder`` is the working directory, ``home`` the VX_HOME."""

    def __init__(self, folder: Path, home: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.home = home
        self._capture = capture

    def __call__(self, *words: str) -> Told:
        self._capture.readouterr()
        status = main(words)
        out, err = self._capture.readouterr()
        return Told(status=status, out=out, err=err)

    def xhyvefile(self, text: str, name: str = "Xhyvefile") -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    folder, home = tmp_path / "project", tmp_path / "home"
    folder.mkdir()
    for name in ("NO_COLOR", "FORCE_COLOR", "VX_PROVIDER", "VX_OFFLINE", "VX_LOG", "VX_JOBS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VX_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(folder)
    return Cli(folder, home, capsys)
