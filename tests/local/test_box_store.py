"""The store: boxes whole or absent, artifacts once each, whoever else is at it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.fakes.mounts import own_mounts
from tests.fakes.recorder import Recorder, quiet_op
from tests.fakes.tinybox import ARCH, box_folder, kernel
from vagrantish.box.store import BoxStore
from vagrantish.errors import BoxError, BoxNotFound, DigestMismatch, HostError
from vagrantish.events import Cancel, Cancelled, Op
from vagrantish.locks import hold
from vagrantish.model import ArtifactKind, BootMode, Box, BoxRef
from vagrantish.paths import VxHome

TINY = BoxRef(name="tiny")
SHM = Path("/dev/shm")


@pytest.fixture
def home(tmp_path: Path) -> VxHome:
    return VxHome(tmp_path / "home")


@pytest.fixture
def store(home: VxHome) -> BoxStore:
    return BoxStore(home)


def add(store: BoxStore, source: Path, *, force: bool = False) -> Box:
    return store.add(source, name=None, version=None, force=force, op=quiet_op())


def files_below(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def kept(home: VxHome) -> list[str]:
    """Files of the store besides its locks."""
    return [name for name in files_below(home.root) if not name.startswith("locks/")]


def test_an_added_box_is_found_with_its_artifacts_read_only(
    store: BoxStore, home: VxHome, tmp_path: Path
) -> None:
    added = add(store, box_folder(tmp_path))

    found = store.find(TINY, ARCH)
    assert found == added
    artifact = found.artifacts[ArtifactKind.KERNEL]
    assert artifact.path == home.artifacts / "sha256" / artifact.digest.hex
    assert artifact.path.read_bytes() == kernel() + b"1"
    assert artifact.path.stat().st_mode & 0o777 == 0o444
    assert kept(home) == [
        f"artifacts/sha256/{artifact.digest.hex}",
        f"boxes/tiny/1/{ARCH}/box.json",
    ]
    assert list(home.tmp.iterdir()) == []


def test_the_newest_added_is_meant_without_a_version(store: BoxStore, tmp_path: Path) -> None:
    for version in ("9", "10", "1"):
        add(store, box_folder(tmp_path, version=version))

    assert store.find(TINY, ARCH).version == "1"
    assert store.find(BoxRef(name="tiny", version="10"), ARCH).version == "10"
    assert [box.version for box in store.list()] == ["9", "10", "1"]


def test_the_same_box_again_is_no_error_and_a_different_one_needs_force(
    store: BoxStore, tmp_path: Path
) -> None:
    folder = box_folder(tmp_path)
    first = add(store, folder)
    assert add(store, folder).artifacts == first.artifacts
    (folder / "vmlinuz").write_bytes(kernel() + b"changed")

    with pytest.raises(BoxError, match="already in the store") as caught:
        add(store, folder)
    assert "--force" in caught.value.hint
    assert store.find(TINY, ARCH) == first

    assert add(store, folder, force=True).artifacts != first.artifacts
    assert store.find(TINY, ARCH).artifacts != first.artifacts


def test_a_replaced_boxs_artifacts_stay_for_the_machines_made_of_it(
    store: BoxStore, tmp_path: Path
) -> None:
    folder = box_folder(tmp_path)
    old = add(store, folder).artifacts[ArtifactKind.KERNEL]
    (folder / "vmlinuz").write_bytes(kernel() + b"changed")

    add(store, folder, force=True)

    assert old.path.exists()


def test_force_mends_an_artifact_that_was_damaged(store: BoxStore, tmp_path: Path) -> None:
    folder = box_folder(tmp_path)
    path = add(store, folder).artifacts[ArtifactKind.KERNEL].path
    path.chmod(0o644)
    path.write_bytes(bytes(path.stat().st_size))

    add(store, folder, force=True)

    assert path.read_bytes() == kernel() + b"1"


def test_a_name_and_version_given_outside_replace_the_boxs_own(
    store: BoxStore, tmp_path: Path
) -> None:
    store.add(box_folder(tmp_path), name="mine", version="7", force=False, op=quiet_op())

    assert [box.label for box in store.list()] == ["mine@7"]


def test_two_boxes_with_the_same_kernel_share_it_until_the_last_is_removed(
    store: BoxStore, tmp_path: Path
) -> None:
    folder = box_folder(tmp_path)
    add(store, folder)
    twin = store.add(folder, name="twin", op=quiet_op())
    path = twin.artifacts[ArtifactKind.KERNEL].path

    store.remove(TINY, ARCH, in_use=(), op=quiet_op())
    assert path.exists()
    store.remove(BoxRef(name="twin"), ARCH, in_use=(), op=quiet_op())
    assert not path.exists()


def test_a_removed_box_leaves_no_folder_and_what_machines_need(
    store: BoxStore, home: VxHome, tmp_path: Path
) -> None:
    artifact = add(store, box_folder(tmp_path)).artifacts[ArtifactKind.KERNEL]

    store.remove(TINY, ARCH, in_use={str(artifact.digest)}, op=quiet_op())

    assert artifact.path.exists()
    assert not (home.boxes / "tiny").exists()
    assert store.get(TINY, ARCH) is None


def test_removing_says_which_versions_there_are(store: BoxStore, tmp_path: Path) -> None:
    for version in ("1", "2"):
        add(store, box_folder(tmp_path, version=version))

    with pytest.raises(BoxError, match="2 versions of tiny: 1, 2"):
        store.remove(TINY, ARCH, in_use=(), op=quiet_op())

    assert len(store.list()) == 2


def test_orphans_go_with_the_next_removal_once_they_are_old(
    store: BoxStore, home: VxHome, tmp_path: Path
) -> None:
    add(store, box_folder(tmp_path))
    shelf = home.artifacts / "sha256"
    fresh, stale, needed = (shelf / (digit * 64) for digit in "abc")
    for path in (fresh, stale, needed):
        path.write_bytes(b"left by a killed vx")
    for path in (stale, needed):
        os.utime(path, (time.time() - 7200,) * 2)

    store.remove(TINY, ARCH, in_use={f"sha256:{'c' * 64}"}, op=quiet_op())

    assert sorted(path.name[0] for path in shelf.iterdir()) == ["a", "c"]


@pytest.mark.parametrize(
    ("ref", "arch", "why", "hint"),
    [
        (BoxRef(name="micro"), ARCH, "no box micro", "vx box build micro"),
        (BoxRef(name="tinny"), ARCH, "no box tinny", 'Did you mean "tiny"'),
        (BoxRef(name="other"), ARCH, "no box other", "vx box add"),
        (BoxRef(name="tiny", version="2"), ARCH, "of tiny it has 1", "tiny@1"),
        (BoxRef(name="tiny"), "sparc", f"tiny for {ARCH}, not for sparc", "vx box add"),
    ],
)
def test_a_box_that_is_not_there_is_named_with_what_comes_close(
    store: BoxStore, tmp_path: Path, ref: BoxRef, arch: str, why: str, hint: str
) -> None:
    add(store, box_folder(tmp_path))

    with pytest.raises(BoxNotFound, match=why) as caught:
        store.find(ref, arch)

    assert hint in caught.value.hint


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_lost_or_cut_artifact_is_noticed_without_reading_it(
    store: BoxStore, tmp_path: Path, damage: str
) -> None:
    path = add(store, box_folder(tmp_path)).artifacts[ArtifactKind.KERNEL].path
    if damage == "gone":
        path.unlink()
    else:
        path.chmod(0o600)
        os.truncate(path, 10)

    with pytest.raises(BoxError, match=r"kernel of tiny@1 is (gone|damaged)") as caught:
        store.get(TINY, ARCH)

    assert "vx box add --force" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"not json", b"\xff", b'{"schema": 99}'])
def test_a_damaged_record_is_told_and_can_be_removed(
    store: BoxStore, home: VxHome, tmp_path: Path, content: bytes
) -> None:
    add(store, box_folder(tmp_path))
    record = home.boxes / "tiny" / "1" / ARCH / "box.json"
    record.chmod(0o644)
    record.write_bytes(content)

    for look in (lambda: store.get(TINY, ARCH), store.list):
        with pytest.raises(BoxError, match="record of tiny@1") as caught:
            look()
        assert "vx box remove tiny@1" in caught.value.hint
    store.remove(TINY, ARCH, in_use=(), op=quiet_op())

    assert store.list() == ()


def test_a_record_of_before_there_were_other_ways_to_boot_is_read(
    store: BoxStore, home: VxHome, tmp_path: Path
) -> None:
    box = add(store, box_folder(tmp_path))
    record = home.boxes / "tiny" / "1" / ARCH / "box.json"
    table = json.loads(record.read_bytes())
    assert table.pop("boot") == "kernel"
    record.chmod(0o644)
    record.write_text(json.dumps(table | {"schema": 2}))

    assert store.get(TINY, ARCH) == box


def test_a_box_that_boots_by_itself_stays_one(store: BoxStore, tmp_path: Path) -> None:
    folder = tmp_path / "whole"
    folder.mkdir()
    (folder / "disk.img").write_bytes(bytes(1 << 20))
    (folder / "box.toml").write_text(
        f'name = "tiny"\nversion = "1"\narch = "{ARCH}"\ndisk = "disk.img"\nboot = "uefi"\n'
        '[defaults.boot]\ntimeout = "9m"\n'
    )

    add(store, folder)

    box = store.get(TINY, ARCH)
    assert box is not None
    assert (box.boot, set(box.artifacts)) == (BootMode.UEFI, {ArtifactKind.DISK})
    settings = {"boot": {"mode": "uefi", "timeout": "9m"}}
    assert store.defaults_of(TINY, ARCH) == ("box tiny@1", settings)


def test_an_unwritable_home_is_a_host_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")

    with pytest.raises(HostError):
        add(BoxStore(VxHome(blocked)), box_folder(tmp_path))


def test_a_box_brings_its_own_layer_of_settings(store: BoxStore, tmp_path: Path) -> None:
    folder = box_folder(tmp_path)
    with (folder / "box.toml").open("a") as file:
        file.write('[defaults]\nmemory = "2GiB"\n')
    add(store, folder)

    assert store.defaults_of(TINY) == ("box tiny@1", {"memory": "2GiB"})
    assert store.defaults_of(BoxRef(name="none")) is None


def test_a_digest_the_box_promises_is_kept(store: BoxStore, home: VxHome, tmp_path: Path) -> None:
    folder = box_folder(tmp_path)
    with (folder / "box.toml").open("a") as file:
        file.write(f'[digest]\nkernel = "sha256:{"0" * 64}"\n')

    with pytest.raises(DigestMismatch, match="vmlinuz"):
        add(store, folder)

    assert kept(home) == []


def test_another_vx_at_the_store_is_waited_for(
    store: BoxStore, home: VxHome, tmp_path: Path
) -> None:
    told = Recorder()
    done = threading.Event()

    def add_there() -> None:
        store.add(box_folder(tmp_path), op=Op(told, Cancel()))
        done.set()

    worker = threading.Thread(target=add_there)
    with hold(home.locks / "store.lock", what="the box store", op=quiet_op()):
        worker.start()
        assert not done.wait(0.3)
    worker.join(10)

    assert done.is_set()
    assert "which holds the box store" in told.notes()[0]


def test_cancelling_leaves_nothing(store: BoxStore, home: VxHome, tmp_path: Path) -> None:
    folder = box_folder(tmp_path)
    cancel = Cancel()

    class CancelOnProgress(Recorder):
        def emit(self, event: object, /) -> None:
            cancel.set()

    with pytest.raises(Cancelled):
        store.add(folder, op=Op(CancelOnProgress(), cancel))

    assert kept(home) == []
    assert list(home.tmp.iterdir()) == []


ADDING = textwrap.dedent("""
    import sys
    from pathlib import Path
    from tests.fakes.recorder import quiet_op
    from vagrantish.box.store import BoxStore
    from vagrantish.errors import VxError
    from vagrantish.paths import VxHome
    try:
        print(BoxStore(VxHome(Path(sys.argv[1]))).add(Path(sys.argv[2]), op=quiet_op()).label)
    except VxError as error:
        print(type(error).__name__, error.message, "|", error.hint)
""")
ROOT = Path(__file__).resolve().parents[2]


def test_two_adds_at_once_end_with_one_box(home: VxHome, store: BoxStore, tmp_path: Path) -> None:
    folder = box_folder(tmp_path)

    children = [
        subprocess.Popen(
            [sys.executable, "-c", ADDING, home.root, folder],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip

    assert [child.communicate(timeout=60)[0] for child in children] == ["tiny@1\n"] * 3
    assert [box.label for box in store.list()] == ["tiny@1"]
    assert len(list((home.artifacts / "sha256").iterdir())) == 1


@pytest.mark.parametrize("delay_s", [0.05, 0.15, 0.25, 0.4, 0.6])
def test_a_killed_add_is_absent_or_whole_and_the_next_one_succeeds(
    home: VxHome, store: BoxStore, tmp_path: Path, delay_s: float
) -> None:
    folder = box_folder(tmp_path)
    (folder / "vmlinuz").write_bytes(kernel() + os.urandom(32 << 20))
    child = subprocess.Popen(
        [sys.executable, "-c", ADDING, home.root, folder],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(delay_s)
    child.send_signal(signal.SIGKILL)
    assert child.communicate()[1] == ""

    assert len(store.list()) in (0, 1)
    add(store, folder)

    store.find(TINY, ARCH)
    assert list(home.tmp.iterdir()) == []
    assert len(list((home.artifacts / "sha256").iterdir())) == 1


@pytest.mark.skipif(not SHM.is_dir(), reason="needs a second file system")
@pytest.mark.parametrize("elsewhere", ["tmp", "artifacts"])
def test_folders_of_the_home_may_lie_on_another_file_system(
    home: VxHome, store: BoxStore, tmp_path: Path, elsewhere: str
) -> None:
    with TemporaryDirectory(dir=SHM) as other:
        if os.stat(other).st_dev == tmp_path.stat().st_dev:
            pytest.skip("needs a second file system")
        home.root.mkdir(exist_ok=True)
        (home.root / elsewhere).symlink_to(other)

        box = add(store, box_folder(tmp_path))

        (artifact,) = box.artifacts.values()
        assert hashlib.sha256(artifact.path.read_bytes()).hexdigest() == artifact.digest.hex
        assert artifact.path.stat().st_mode & 0o777 == 0o444
        assert list(home.tmp.iterdir()) == []
        assert len(list(artifact.path.parent.iterdir())) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small tmpfs")
def test_a_full_disk_is_told_and_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    folder = box_folder(tmp_path)
    (folder / "vmlinuz").write_bytes(kernel() + os.urandom(4 << 20))
    disk = tmp_path / "disk"
    disk.mkdir()
    shell = (
        'mount -t tmpfs -o size=2m tmpfs "$1" && "$2" -c "$3" "$1/home" "$4"; '
        'find "$1" -type f ! -path "*/locks/*"'
    )

    done = subprocess.run(
        [*own_mounts(), "sh", "-c", shell, "sh", disk, sys.executable, ADDING, folder],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.stdout.startswith("HostError cannot write"), done.stderr
    assert "No space left" in done.stdout
    assert "VX_HOME" in done.stdout
    assert len(done.stdout.splitlines()) == 1
