"""Raw copies of qcow2 disks: made once, whole, and only where there is room."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes.mounts import own_mounts
from tests.fakes.qcow2image import Shape, build
from tests.fakes.recorder import Recorder, quiet_op
from tests.fakes.tinybox import box_folder
from vagrantish.box import rawdisk
from vagrantish.box.rawdisk import raw_of
from vagrantish.box.store import BoxStore
from vagrantish.errors import BoxError
from vagrantish.events import Cancel, Cancelled, Op, StepStarted
from vagrantish.model import Artifact, ArtifactKind
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = Shape(clusters=("data", "hole", "compressed", "zero", "data") * 8, cluster_bits=12)


@pytest.fixture
def home(tmp_path: Path) -> VxHome:
    return VxHome(tmp_path / "home")


def artifact_of(home: VxHome, tmp_path: Path, disk: bytes) -> Artifact:
    folder = box_folder(tmp_path)
    (folder / "root.img").write_bytes(disk)
    with (folder / "box.toml").open("a") as file:
        file.write('disk = "root.img"\nroot = "disk"\n')
    return BoxStore(home).add(folder, op=quiet_op()).artifacts[ArtifactKind.DISK]


def test_a_copy_is_made_once_and_holds_what_the_image_does(home: VxHome, tmp_path: Path) -> None:
    image, disk = build(SHAPE)
    artifact = artifact_of(home, tmp_path, image)

    copy = raw_of(home, artifact, op=quiet_op())

    assert copy == home.artifacts / "raw" / artifact.digest.hex
    assert copy.read_bytes() == disk
    assert copy.stat().st_mode & 0o777 == 0o444
    assert list(rawdisk.copies(home)) == [(copy, str(artifact.digest))]
    told = Recorder()
    inode = copy.stat().st_ino
    assert raw_of(home, artifact, op=Op(told, Cancel())).stat().st_ino == inode
    assert told.events == []


def test_a_disk_that_is_raw_already_is_its_own_copy(home: VxHome, tmp_path: Path) -> None:
    artifact = artifact_of(home, tmp_path, bytes(1 << 20))

    assert raw_of(home, artifact, op=quiet_op()) == artifact.path
    assert list(rawdisk.copies(home)) == []


def test_a_copy_that_was_cut_or_deleted_is_made_again(home: VxHome, tmp_path: Path) -> None:
    image, disk = build(SHAPE)
    artifact = artifact_of(home, tmp_path, image)
    copy = raw_of(home, artifact, op=quiet_op())
    copy.chmod(0o644)
    os.truncate(copy, 100)

    assert raw_of(home, artifact, op=quiet_op()).read_bytes() == disk
    copy.unlink()
    assert raw_of(home, artifact, op=quiet_op()).read_bytes() == disk


def test_a_use_makes_the_copy_young(home: VxHome, tmp_path: Path) -> None:
    artifact = artifact_of(home, tmp_path, build(SHAPE)[0])
    copy = raw_of(home, artifact, op=quiet_op())
    os.utime(copy, (1, 1))

    raw_of(home, artifact, op=quiet_op())

    assert time.time() - copy.stat().st_mtime < 60


def test_two_at_once_make_one_copy(home: VxHome, tmp_path: Path) -> None:
    artifact = artifact_of(home, tmp_path, build(SHAPE)[0])
    told = [Recorder(), Recorder()]
    threads = [
        threading.Thread(target=raw_of, args=(home, artifact), kwargs={"op": Op(each, Cancel())})
        for each in told
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    events = [event for each in told for event in each.events]
    assert sum(isinstance(event, StepStarted) for event in events) == 1


def test_a_damaged_image_is_a_box_error_and_leaves_nothing(home: VxHome, tmp_path: Path) -> None:
    artifact = artifact_of(home, tmp_path, build(SHAPE)[0])
    artifact.path.chmod(0o644)
    data = bytearray(artifact.path.read_bytes())
    data[1 << 12 : 2 << 12] = b"\xff" * (1 << 12)  # its first table
    artifact.path.write_bytes(data)

    with pytest.raises(BoxError, match=r"disk image .* cannot be used") as caught:
        raw_of(home, artifact, op=quiet_op())

    assert "vx box verify" in caught.value.hint
    assert list(rawdisk.copies(home)) == []
    assert list(home.tmp.iterdir()) == []


def test_cancelling_leaves_nothing(home: VxHome, tmp_path: Path) -> None:
    artifact = artifact_of(home, tmp_path, build(SHAPE)[0])
    cancel = Cancel()

    class CancelOnStep(Recorder):
        def emit(self, event: object, /) -> None:
            cancel.set()

    with pytest.raises(Cancelled):
        raw_of(home, artifact, op=Op(CancelOnStep(), cancel))

    assert list(rawdisk.copies(home)) == []
    assert list(home.tmp.iterdir()) == []


CONVERT = """
import sys
from pathlib import Path
from tests.fakes.recorder import quiet_op
from vagrantish.box.rawdisk import raw_of
from vagrantish.box.store import BoxStore
from vagrantish.errors import HostError
from vagrantish.model import ArtifactKind
from vagrantish.paths import VxHome

home = VxHome(Path(sys.argv[1]))
box, = BoxStore(home).list()
try:
    print(raw_of(home, box.artifacts[ArtifactKind.DISK], op=quiet_op()))
except HostError as error:
    print(error, error.hint)
"""


def test_a_full_disk_is_told_before_the_work_begins(home: VxHome, tmp_path: Path) -> None:
    clusters = ("compressed",) * 512
    artifact_of(home, tmp_path, build(Shape(clusters=clusters, cluster_bits=16))[0])
    small = home.artifacts / "raw"
    small.mkdir()
    mount = 'mount -t tmpfs -o size=20m none "$1" && exec "$2" -c "$3" "$4"'
    words = (str(small), sys.executable, CONVERT, str(home.root))
    told = subprocess.run(
        [*own_mounts(), "sh", "-c", mount, "sh", *words],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert "takes up to 32MiB" in told.stdout, told.stderr
    assert "vx box prune" in told.stdout


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.05, 0.1])
def test_a_killed_conversion_is_made_anew(home: VxHome, tmp_path: Path, after_s: float) -> None:
    clusters = ("compressed", "hole") * 400
    image, disk = build(Shape(clusters=clusters, cluster_bits=16))
    artifact = artifact_of(home, tmp_path, image)
    script = textwrap.dedent(CONVERT).replace("try:", "print('on', flush=True)\ntry:")
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(home.root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()

    copies = list(rawdisk.copies(home))
    assert not copies or copies[0][0].read_bytes() == disk
    assert raw_of(home, artifact, op=quiet_op()).read_bytes() == disk
    assert list(home.tmp.iterdir()) == []
