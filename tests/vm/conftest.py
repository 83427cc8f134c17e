"""The micro box, built once and shared by every test that boots it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from vagrantish import paths

ROOT = Path(__file__).resolve().parents[2]


def builder_version() -> str:
    """Changes with anything of ours that the box is made of."""
    parts = [ROOT / "vagrantish/box", ROOT / "vagrantish/formats", ROOT / "boxes"]
    digest = hashlib.sha256()
    for path in sorted(path for part in parts for path in part.rglob("*") if path.is_file()):
        if path.suffix != ".pyc":
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@pytest.fixture(scope="session")
def micro_store() -> Path:
    """A VX_HOME that holds the micro box; kept between runs while the builder stays the same."""
    cache = ROOT / ".cache" / "test-boxes"
    cache.mkdir(parents=True, exist_ok=True)
    home = cache / builder_version()
    with FileLock(cache / "lock"):
        for old in cache.iterdir():
            if old.is_dir() and old != home:
                shutil.rmtree(old)
        vx = Path(sys.executable).with_name("vx")
        built = subprocess.run(
            [vx, "box", "build", "micro"],
            cwd=cache,
            env=os.environ | {"VX_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert built.returncode == 0, f"vx box build micro:\n{built.stdout}\n{built.stderr}"
    return home


@pytest.fixture
def vx_home(vx_home: Path, micro_store: Path) -> Path:
    """Instead of an empty home, one with the micro box; its bytes are links to the shared ones."""
    ours, shared = paths.VxHome(vx_home), paths.VxHome(micro_store)
    shutil.copytree(shared.boxes, ours.boxes)
    shutil.copytree(shared.artifacts, ours.artifacts, copy_function=_link_or_copy)
    if shared.host.is_dir():
        shutil.copytree(shared.host, ours.host)
    return vx_home


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
