"""Files appear whole or not at all, also when the disk is full or the writer is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.mounts import own_mounts
from vagrantish.errors import HostError
from vagrantish.files import clone, remove_tree, staging, sweep, write_atomic

if TYPE_CHECKING:
    from pathlib import Path


def test_a_written_file_has_its_content_and_mode_and_no_leftovers(tmp_path: Path) -> None:
    path = tmp_path / "record"
    write_atomic(path, b"old", mode=0o644)

    write_atomic(path, b"new", mode=0o600)

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["record"]


def test_a_failed_write_keeps_the_old_file_and_says_where(tmp_path: Path) -> None:
    folder = tmp_path / "record"
    folder.mkdir()  # cannot be replaced by a file

    with pytest.raises(HostError, match=r"cannot write .*record"):
        write_atomic(folder, b"new")

    assert [p.name for p in tmp_path.iterdir()] == ["record"]


def test_a_full_disk_is_a_host_error_with_a_way_out_and_keeps_the_old_file(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from vagrantish.errors import HostError
        from vagrantish.files import write_atomic
        path = Path(sys.argv[1]) / "record"
        write_atomic(path, b"old")
        try:
            write_atomic(path, bytes(4 << 20))
        except HostError as error:
            print(error.message, "|", error.hint)
        print(path.read_bytes(), [p.name for p in path.parent.iterdir()])
    """)
    disk = tmp_path / "disk"
    disk.mkdir()
    shell = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" -c "$3" "$1"'

    done = subprocess.run(
        [*own_mounts(), "sh", "-c", shell, "sh", str(disk), sys.executable, script],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stdout
    assert "Free some space" in done.stdout
    assert "b'old' ['record']" in done.stdout


def test_staging_left_by_a_killed_process_is_swept_and_a_live_one_is_not(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from vagrantish.files import staging
        with staging(Path(sys.argv[1])) as folder:
            (folder / "half").write_bytes(b"x")
            print(folder, flush=True)
            time.sleep(60)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        sweep(tmp_path)
        assert os.path.isfile(f"{name}/half")

        child.send_signal(signal.SIGKILL)
        child.wait()
    with staging(tmp_path) as mine:
        assert [p for p in tmp_path.iterdir() if p.is_dir()] == [mine]

    assert list(tmp_path.iterdir()) == []


def test_a_clone_is_equal_and_as_sparse_as_its_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.write(b"head" * 1024)
        file.seek(64 << 20)
        file.write(b"tail" * 1024)
        file.truncate(128 << 20)

    clone(source, tmp_path / "copy")

    copy = tmp_path / "copy"
    assert copy.stat().st_size == 128 << 20
    assert copy.stat().st_blocks <= source.stat().st_blocks + 16
    with source.open("rb") as a, copy.open("rb") as b:
        while chunk := a.read(1 << 20):
            assert chunk == b.read(1 << 20)


def test_a_clone_never_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")

    with pytest.raises(HostError, match="cannot copy"):
        clone(tmp_path / "a", tmp_path / "b")

    assert (tmp_path / "b").read_bytes() == b"b"


def test_a_read_only_tree_can_be_removed(tmp_path: Path) -> None:
    inner = tmp_path / "tree" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(b"x")
    inner.chmod(0o500)
    (tmp_path / "tree").chmod(0o500)

    remove_tree(tmp_path / "tree")
    remove_tree(tmp_path / "tree")

    assert list(tmp_path.iterdir()) == []


def test_sweeping_does_not_wait(tmp_path: Path) -> None:
    with staging(tmp_path):
        began = time.monotonic()
        sweep(tmp_path)
        assert time.monotonic() - began < 30
