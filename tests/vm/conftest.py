"""The micro box, built once and shared by every test that boots it; publishers for the others."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from tests.conftest import Vx, end_processes_of
from tests.fakes import images, tinycore
from tests.fakes.upstream import upstream
from vagrantish import paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fakes.upstream import Upstream

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


# --- published boxes -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Publishers:
    server: Upstream
    catalog: Path  # a folder of definitions that lead to the server


@pytest.fixture(scope="session")
def publishers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publishers]:
    """Those of the boxes that are booted here; one for each of xdist's workers."""
    lacking = images.MISSING or ([tinycore.MISSING] if tinycore.MISSING else [])
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)}")
    made = images.open_images()
    ubuntu = made.ubuntu()
    files = {
        "debian": made.debian(),
        "ubuntu": ubuntu.disk,
        "ubuntu-kernel": ubuntu.kernel,
        "ubuntu-initrd": ubuntu.initrd,
        "centos": made.centos(),
        "alpine-netboot": made.alpine_netboot(),
        "tinycore": tinycore.cached().folder,
    }
    folder = tmp_path_factory.mktemp("publishers")
    (folder / "served").mkdir()
    with upstream(folder / "served", files) as server:
        catalog = server.definitions(folder / "catalog")
        yield Publishers(server=server, catalog=catalog)


@pytest.fixture
def new_home(homes: Path) -> Iterator[Callable[[Path], Path]]:
    """Makes empty homes that know one catalog; nothing started from them outlives the test."""
    folder = Path(tempfile.mkdtemp(prefix="", dir=homes))

    def make(catalog: Path) -> Path:
        home = Path(tempfile.mkdtemp(prefix="h", dir=folder))
        (home / "config.toml").write_text(f'catalogs = ["{catalog}"]\n', encoding="utf-8")
        return home

    yield make
    end_processes_of(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def published(publishers: Publishers, new_home: Callable[[Path], Path], tmp_path: Path) -> Vx:
    """``vx`` in an empty project folder, with an empty home that knows the publishers."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Vx(home=new_home(publishers.catalog), folder=folder)
