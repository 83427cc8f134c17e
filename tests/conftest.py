"""What every kind of test may use: a VX_HOME of its own, and ``vx`` run as a user runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from filelock import FileLock, Timeout
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A busy computer is no failure; what hangs runs into pytest's own limit.
settings.register_profile("vx", deadline=None)
settings.load_profile("vx")

# Directly below /tmp: the path of a machine's socket must fit 103 bytes, and pytest's own
# folders and macOS's TMPDIR leave too little of that.
HOMES = Path("/tmp") / f"vxt-{os.getuid()}"


@dataclass(frozen=True, kw_only=True)
class Vx:
    """``vx`` as a child process with its own VX_HOME; ``folder`` is where the Xhyvefile goes."""

    home: Path
    folder: Path

    def env(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """No setting of the developer's own shell reaches the test."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("VX_") and key not in ("NO_COLOR", "FORCE_COLOR")
        }
        return kept | {"VX_HOME": str(self.home)} | dict(extra or {})

    def command(self, *args: str | Path) -> list[str]:
        return [str(Path(sys.executable).with_name("vx")), *map(str, args)]

    def run(
        self,
        *args: str | Path,
        status: int | None = 0,
        timeout: float = 240,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end and require exit status ``status``; None takes any."""
        done = subprocess.run(
            self.command(*args),
            cwd=cwd or self.folder,
            env=self.env(env),
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
        assert status in (None, done.returncode), (
            f"vx {' '.join(map(str, args))} ended with {done.returncode}, not {status}\n"
            f"stdout: {done.stdout}\nstderr: {done.stderr}"
        )
        return done

    def start(
        self, *args: str | Path, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start and leave running, to be watched or killed."""
        return subprocess.Popen(
            self.command(*args),
            cwd=self.folder,
            env=self.env(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def xhyvefile(self, text: str) -> None:
        (self.folder / "Xhyvefile").write_text(text, encoding="utf-8")


def end_processes_of(folder: Path) -> None:
    """Kill whatever runs with a VX_HOME below ``folder``: guests, and vx that a test left behind."""
    mine = psutil.Process().uids().real
    for process in psutil.process_iter():
        try:
            if process.uids().real == mine and _home_of(process).startswith(f"{folder}/"):
                process.kill()
                process.wait(10)
        except psutil.Error:
            continue  # it ended by itself


def _home_of(process: psutil.Process) -> str:
    return process.environ().get("VX_HOME", "")


def sweep(homes: Path) -> None:
    """Remove what killed test runs left: their lock is free, their guests may still run."""
    for lock_path in homes.glob("*.lock"):
        lock = FileLock(lock_path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        folder = lock_path.with_suffix("")
        end_processes_of(folder)
        shutil.rmtree(folder, ignore_errors=True)
        lock_path.unlink(missing_ok=True)
        lock.release()


@pytest.fixture(scope="session")
def homes() -> Iterator[Path]:
    """A short folder for this run's homes. What killed runs left goes first."""
    HOMES.mkdir(mode=0o700, exist_ok=True)
    assert HOMES.stat().st_uid == os.getuid(), f"{HOMES} belongs to somebody else"
    with FileLock(HOMES / ".making"):
        sweep(HOMES)
        folder = Path(tempfile.mkdtemp(prefix="", dir=HOMES))
        lock = FileLock(folder.with_suffix(".lock"))
        lock.acquire()
    yield folder
    end_processes_of(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".lock").unlink(missing_ok=True)
    lock.release()


@pytest.fixture
def vx_home(homes: Path) -> Iterator[Path]:
    """An empty VX_HOME; nothing started from it outlives the test."""
    folder = Path(tempfile.mkdtemp(prefix="", dir=homes))
    home = folder / "h"
    home.mkdir()
    yield home
    end_processes_of(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def vx(vx_home: Path, tmp_path: Path) -> Vx:
    """``vx`` in an empty project folder and an empty home."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Vx(home=vx_home, folder=folder)
