"""The volume cloud-init looks for, judged by the tools that read such volumes."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from vagrantish.errors import HostError
from vagrantish.seed.volume import volume, write_seed

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "meta-data": b'{"instance-id": "1"}\n',
    "network-config": b"{}\n",
    "user-data": b"#cloud-config\n" + b"# more than a sector\n" * 300,
}
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def tool(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def run(*words: str | Path) -> bytes:
    return subprocess.run([*map(str, words)], check=True, capture_output=True).stdout


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    path = tmp_path / "seed.iso"
    assert write_seed(FILES, path)
    return path


def test_blkid_finds_it_by_its_label(seed: Path) -> None:
    found = run(tool("blkid"), "-p", "-o", "export", seed).decode().splitlines()

    assert {"LABEL=cidata", "TYPE=iso9660"} <= set(found)


@pytest.mark.parametrize("names", ["-R", "-J"], ids=["Rock Ridge", "Joliet"])
def test_isoinfo_reads_every_file_by_its_name(seed: Path, names: str) -> None:
    program = tool("isoinfo")

    listed = run(program, names, "-f", "-i", seed).decode().split()

    assert sorted(listed) == [f"/{name}" for name in sorted(FILES)]
    for name, data in FILES.items():
        assert run(program, names, "-x", f"/{name}", "-i", seed) == data


def test_xorriso_takes_out_what_went_in(seed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    run(tool("xorriso"), "-abort_on", "WARNING", "-osirrox", "on", "-indev", seed,
        "-extract", "/", out)  # fmt: skip

    assert {path.name: path.read_bytes() for path in out.iterdir()} == FILES
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o400 for path in out.iterdir())


def test_only_its_owner_can_read_it(seed: Path) -> None:
    assert stat.S_IMODE(seed.stat().st_mode) == 0o600


def test_the_same_files_give_the_same_bytes_at_any_time_and_place() -> None:
    program = (
        "import sys\nfrom tests.local.test_seed_volume import FILES, volume\n"
        "sys.stdout.buffer.write(volume(FILES))"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TZ": "Pacific/Kiritimati"},
        check=True,
        capture_output=True,
    ).stdout

    assert volume(dict(reversed(FILES.items()))) == volume(FILES)
    assert elsewhere == volume(FILES)
    assert b"19800101" in elsewhere


def test_many_files_with_long_names_all_get_the_fixed_date(tmp_path: Path) -> None:
    files = {f"{number:02}-{'long-' * 10}name": b"x" for number in range(60)}
    path = tmp_path / "many.iso"
    path.write_bytes(volume(files))

    lines = run(tool("isoinfo"), "-R", "-l", "-i", path).decode().splitlines()

    assert len([line for line in lines if "Jan  1 1980" in line]) == 62


def test_what_did_not_change_is_not_written_again(seed: Path) -> None:
    before = seed.stat()

    assert not write_seed(FILES, seed)

    assert (seed.stat().st_ino, seed.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_changed_replaces_it_whole_and_leaves_nothing_beside_it(seed: Path) -> None:
    assert write_seed({**FILES, "user-data": b"#cloud-config\n"}, seed)

    assert seed.read_bytes() == volume({**FILES, "user-data": b"#cloud-config\n"})
    assert [path.name for path in seed.parent.iterdir()] == ["seed.iso"]


def test_one_that_others_could_read_is_closed_to_them(seed: Path) -> None:
    seed.chmod(0o644)

    assert write_seed(FILES, seed)

    assert stat.S_IMODE(seed.stat().st_mode) == 0o600


def test_a_place_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot"):
        write_seed(FILES, tmp_path / "missing" / "seed.iso")
