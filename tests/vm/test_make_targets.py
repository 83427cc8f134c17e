"""What `make demo` and `make bench` run, in a copy of the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.vm


class Copy:
    """The scripts and examples, with a home where the micro box is built already."""

    def __init__(self, folder: Path, vx_home: Path) -> None:
        # Too deep for sockets, so that the home is the one below XDG_CACHE_HOME.
        self.root = folder / ("checkout" * 10)
        for part in ("scripts", "examples"):
            shutil.copytree(ROOT / part, self.root / part, ignore=shutil.ignore_patterns(".vx"))
        (self.root / ".venv").symlink_to(Path(sys.prefix))
        self.home = vx_home.with_name("vx-demo")
        self.home.symlink_to(vx_home)

    def run(self, *command: str | Path) -> str:
        env = {key: value for key, value in os.environ.items() if not key.startswith("VX_")}
        done = subprocess.run(
            command,
            cwd=self.root,
            # VX_HOME is overwritten by the scripts; here it marks their processes as the test's.
            env=env | {"XDG_CACHE_HOME": str(self.home.parent), "VX_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def machines(self) -> list[str]:
        return os.listdir(self.home / "machines")


@pytest.fixture
def copy(tmp_path: Path, vx_home: Path) -> Copy:
    return Copy(tmp_path, vx_home)


def test_the_demo_gives_the_whole_tour_and_leaves_nothing(copy: Copy) -> None:
    shown = copy.run(copy.root / "scripts/demo.sh")

    commands = [line.split()[2] for line in shown.splitlines() if line.startswith("$ vx ")]
    assert commands == ["box", "up", "status", "ssh", "up", "halt", "status", "destroy"]
    assert "Hello! This is default, a machine of hello." in shown
    assert "<h1>Hello from default</h1>" in shown
    assert copy.machines() == []


def test_a_demo_that_fails_on_the_way_leaves_nothing(copy: Copy) -> None:
    page = copy.root / "examples/hello/index.html.j2"
    page.write_text("{{ no_such_name }}", encoding="utf-8")

    with pytest.raises(AssertionError, match="no_such_name"):
        copy.run(copy.root / "scripts/demo.sh")

    assert copy.machines() == []


def test_the_benchmark_measures_every_promise(copy: Copy) -> None:
    shown = copy.run(sys.executable, "-m", "scripts.bench", "--only", "machine", "-n", "1")

    verdicts = [
        line.split()[-1] for line in shown.splitlines() if line.endswith(("kept", "MISSED"))
    ]
    assert len(verdicts) == 8
    assert "not seen" not in shown
    assert copy.machines() == []
