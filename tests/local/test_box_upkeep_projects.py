"""The projects a home knows of."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from vagrantish.box import projects
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> VxHome:
    return VxHome(tmp_path / "home")


def project(tmp_path: Path, name: str = "one") -> Path:
    folder = tmp_path / name
    folder.mkdir()
    return folder


def test_a_noted_project_is_known_until_its_folder_is_gone(home: VxHome, tmp_path: Path) -> None:
    one, two = project(tmp_path), project(tmp_path, "two\nlines and ünïcode")
    projects.note(home, one)
    projects.note(home, two)

    assert set(projects.known(home)) == {one, two}
    assert projects.locks(home) == (one / "Xhyvefile.lock", two / "Xhyvefile.lock")

    shutil.rmtree(two)
    assert projects.known(home) == (one,)


def test_a_project_with_two_locks_is_one_project(home: VxHome, tmp_path: Path) -> None:
    one = project(tmp_path)
    projects.note(home, one)
    projects.note(home, one, lock_name="Other.lock")

    assert projects.known(home) == (one,)
    assert projects.locks(home) == (one / "Other.lock", one / "Xhyvefile.lock")


def test_noting_again_writes_nothing(home: VxHome, tmp_path: Path) -> None:
    one = project(tmp_path)
    projects.note(home, one)
    (entry,) = (home.root / "projects").iterdir()
    before = entry.stat()

    projects.note(home, one)

    assert entry.stat().st_mtime_ns == before.st_mtime_ns
    assert entry.stat().st_ino == before.st_ino


@pytest.mark.parametrize("content", [b"", b"relative", b"/a\0b", b"\xff\xfe", b"/" + b"x" * 9000])
def test_a_damaged_entry_loses_no_other(home: VxHome, tmp_path: Path, content: bytes) -> None:
    one = project(tmp_path)
    projects.note(home, one)
    (home.root / "projects" / "damaged").write_bytes(content)

    assert projects.known(home) == (one,)


def test_a_home_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    home = VxHome(tmp_path / "file")

    projects.note(home, project(tmp_path))

    assert projects.known(home) == ()


def test_when_there_are_many_those_that_are_gone_are_forgotten(
    home: VxHome, tmp_path: Path
) -> None:
    one = project(tmp_path)
    folder = home.root / "projects"
    folder.mkdir(parents=True)
    for number in range(1000):
        (folder / f"gone{number}").write_bytes(os.fsencode(tmp_path / "gone" / str(number)))

    projects.note(home, one)

    assert len(list(folder.iterdir())) == 1
    assert projects.known(home) == (one,)
