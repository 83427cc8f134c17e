"""What we publish: built, installed where nothing else is, and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]

# One worker builds for all of them.
pytestmark = [pytest.mark.xdist_group("packaging"), pytest.mark.timeout(600)]


def run(
    command: Sequence[str | Path], *, cwd: Path, home: Path | None = None
) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VX_"))}
    if home:
        env |= {"HOME": str(home), "VX_HOME": str(home / ".vx")}
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel built from it: so the sdist holds all that building takes."""
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of an environment that holds the wheel and what it asked for."""
    folder = tmp_path_factory.mktemp("clean")
    run([sys.executable, "-m", "venv", folder / "env"], cwd=folder)
    programs = folder / "env" / "bin"
    run([programs / "python", "-m", "pip", "install", "--quiet", wheel], cwd=folder)
    return programs


def packed_data(names: set[str], prefix: str) -> set[str]:
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def data_files(folder: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("folder", ["boxes", "templates"])
def test_wheel_carries_every_data_file(wheel: Path, folder: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    packed = packed_data(names, "vagrantish/_data/")
    assert data_files(folder) != set()
    assert data_files(folder) <= packed


def test_wheel_is_typed_and_licensed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert "vagrantish/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_wheel_holds_nothing_beside_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"vagrantish"}


def test_sdist_carries_tests_docs_and_data(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    wanted = {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "pyproject.toml"}
    wanted |= {"Xhyvefile.example", "scripts/bootstrap.sh", "tests/unit/test_layers.py"}
    assert wanted | data_files("boxes") | data_files("templates") <= names


def test_installed_wheel_runs(installed: Path, tmp_path: Path) -> None:
    from vagrantish import __version__

    by_name = run([installed / "vx", "--version"], cwd=tmp_path, home=tmp_path)
    by_module = run([installed / "python", "-m", "vagrantish", "--version"], cwd=tmp_path)

    assert __version__ in by_name.stdout
    assert by_module.stdout == by_name.stdout


def test_installed_wheel_prints_its_schema(installed: Path, tmp_path: Path) -> None:
    schema = json.loads(run([installed / "vx", "schema"], cwd=tmp_path, home=tmp_path).stdout)

    assert "box" in schema["properties"]


def test_installed_wheel_starts_a_project_from_its_templates(
    installed: Path, tmp_path: Path
) -> None:
    run([installed / "vx", "init", "micro"], cwd=tmp_path, home=tmp_path)

    assert "micro" in (tmp_path / "Xhyvefile").read_text(encoding="utf-8")
    run([installed / "vx", "validate"], cwd=tmp_path, home=tmp_path)


def test_installed_wheel_finds_its_data(installed: Path, tmp_path: Path) -> None:
    code = "from vagrantish import resources as r; print(r.boxes_dir()); print(r.templates_dir())"

    boxes, templates = run([installed / "python", "-c", code], cwd=tmp_path).stdout.split()

    assert str(tmp_path) not in boxes
    assert Path(boxes).parts[-2:] == ("_data", "boxes")
    assert any(Path(boxes).rglob("*.toml"))
    assert any(Path(templates).iterdir())


def test_editable_install_finds_the_checkouts_data(tmp_path: Path) -> None:
    code = "from vagrantish import resources as r; print(r.boxes_dir()); print(r.templates_dir())"

    found = run([sys.executable, "-c", code], cwd=tmp_path).stdout.split()

    assert found == [str(ROOT / "boxes"), str(ROOT / "templates")]
