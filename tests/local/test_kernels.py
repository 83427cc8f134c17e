"""A machine boots the kernel that its guest put on its disk, and the last one where that fails."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from tests.fakes import bootdisks as make
from tests.fakes import ownkernel
from tests.fakes.e2fs import debugfs, needs_e2fsprogs
from tests.fakes.ownkernel import NEW, OLD, initrd_of, kernel_of
from tests.fakes.recorder import Recorder
from tests.fuzz.budget import rounds
from vagrantish.box import ondisk
from vagrantish.box.disk import prepare_disk
from vagrantish.config.load import load
from vagrantish.events import Cancel, Cancelled, Op
from vagrantish.lifecycle import kernels
from vagrantish.lifecycle.spec import kernel_cmdline
from vagrantish.machine.record import Record
from vagrantish.model import Artifact, ArtifactKind, Box, Digest, RootKind, SeedKind
from vagrantish.paths import MachineLayout, VxHome

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.box.ingest import Staged
    from vagrantish.model import MachineConfig

_LACKING = make.missing(*ownkernel.TOOLS)
pytestmark = pytest.mark.skipif(bool(_LACKING), reason=f"not installed: {_LACKING}")


@dataclass
class Machine:
    """``follow`` is what `vx up` does with the disk, before it boots."""

    box: Box
    config: MachineConfig
    layout: MachineLayout
    record: Record
    form: str = "raw"
    told: Recorder = field(default_factory=Recorder)
    cancel: Cancel = field(default_factory=Cancel)

    def follow(self) -> kernels.BootFiles:
        self.told.events.clear()
        op = Op(self.told, self.cancel)
        kernels.follow_disk(self.box, self.config, self.record, self.layout, self.form, op=op)
        return kernels.boot_files(self.box, self.record, self.layout)

    def write(self, *releases: str, options: str = "quiet") -> None:
        self.write_tree(ownkernel.tree(*releases, options=options))

    def write_tree(self, tree: make.Tree) -> None:
        """What the guest made of its disk."""
        raw = self.layout.directory / "new"
        raw.unlink(missing_ok=True)
        shutil.rmtree(self.layout.directory / "new.tree", ignore_errors=True)
        make.ext4(raw, tree)
        os.replace(raw, self.layout.disk)

    def pin(self) -> None:
        self.config = replace(self.config, boot=replace(self.config.boot, kernel="box"))

    @property
    def notes(self) -> list[str]:
        return self.told.notes()

    @property
    def booted(self) -> tuple[bytes, bytes]:
        files = kernels.boot_files(self.box, self.record, self.layout)
        assert files.initrd is not None
        return files.kernel.read_bytes(), files.initrd.read_bytes()


def pair(release: str, more: str = "") -> tuple[bytes, bytes]:
    return kernel_of(release), initrd_of(release, more)


@pytest.fixture(scope="module")
def old_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ownkernel.disk(tmp_path_factory.mktemp("box") / "disk.raw", OLD)


@pytest.fixture
def machine(old_disk: Path, tmp_path: Path) -> Machine:
    """Of a box that boots OLD; its disk is not made yet."""
    home = VxHome(tmp_path / "home")
    home.tmp.mkdir(parents=True)
    op = Op(Recorder(), Cancel())
    choice, found = ondisk.take_boot_files(
        old_disk, home.tmp, root="", label="box", arch="x86_64", op=op
    )
    box = Box(
        name="own", version="1", arch="x86_64", cmdline="", user="me", seed=SeedKind.NONE,
        root=RootKind.DISK, disk_boots=True, disk_cmdline=choice.cmdline,
        kernel_release=choice.release,
        artifacts={item.kind: _artifact(item) for item in found}
        | {ArtifactKind.DISK: Artifact(
            kind=ArtifactKind.DISK, digest=Digest(algorithm="sha256", hex="0" * 64),
            size_bytes=old_disk.stat().st_size, path=old_disk)},
    )  # fmt: skip
    (tmp_path / "Xhyvefile").write_text('box = "own"\n')
    loaded = load(tmp_path / "Xhyvefile", home=home, env={}, box_defaults=lambda _: None)
    layout = MachineLayout(tmp_path / "machine")
    layout.directory.mkdir()
    record = Record(
        id="0123abcd", uuid="u", name="web", project=str(tmp_path), provider="qemu",
        mac="52:54:00:00:00:01", created_at="", user="me", box={},
    )  # fmt: skip
    return Machine(box=box, config=loaded.project.machines[0], layout=layout, record=record)


def _artifact(item: Staged) -> Artifact:
    return Artifact(kind=item.kind, digest=item.digest, size_bytes=item.size_bytes, path=item.path)


def test_before_there_is_a_disk_the_boxs_kernel_boots(machine: Machine) -> None:
    files = machine.follow()

    assert machine.booted == pair(OLD)
    assert "root=/dev/vda" in files.cmdline
    assert (machine.record.kernel, machine.notes) == ({}, [])


def test_an_untouched_disk_boots_the_boxs_files_without_a_copy(machine: Machine) -> None:
    machine.form = prepare_disk(machine.box, machine.layout.disk, None) or ""
    assert machine.form == "qcow2"

    files = machine.follow()

    assert files.kernel == machine.box.artifacts[ArtifactKind.KERNEL].path
    assert machine.notes == []
    assert machine.record.kernel["release"] == OLD
    assert sorted(path.name for path in machine.layout.directory.iterdir()) == ["disk.img"]


def test_a_kernel_the_guest_installed_is_taken_out_and_told_once(machine: Machine) -> None:
    machine.write(NEW, OLD, options="quiet new=1")

    files = machine.follow()

    assert machine.booted == pair(NEW)
    assert files.cmdline.endswith("ro quiet new=1")
    assert machine.notes == [f"its disk has another kernel: {NEW} (it was {OLD})"]
    assert machine.record.kernel["release"] == NEW

    machine.follow()
    assert machine.booted == pair(NEW)
    assert machine.notes == []


def test_it_is_seen_through_the_layer_over_the_boxs_disk(machine: Machine, tmp_path: Path) -> None:
    changed = ownkernel.disk(tmp_path / "changed", NEW, OLD)
    assert machine.box.artifacts[ArtifactKind.DISK].path.stat().st_size == changed.stat().st_size
    subprocess.run(
        ["qemu-img", "convert", "-O", "qcow2", "-F", "raw",
         "-B", machine.box.artifacts[ArtifactKind.DISK].path, changed, machine.layout.disk],
        check=True,
    )  # fmt: skip
    machine.form = "qcow2"

    machine.follow()

    assert machine.booted == pair(NEW)


def test_a_new_initrd_of_the_same_kernel_is_taken(machine: Machine) -> None:
    tree = ownkernel.tree(OLD)
    tree[f"/boot/initrd.img-{OLD}"] = initrd_of(OLD, " made anew")
    machine.write_tree(tree)

    machine.follow()

    assert machine.booted == pair(OLD, " made anew")
    assert machine.notes == [f"its disk has a new initrd for kernel {OLD}"]


def test_a_kernel_without_an_initrd_does_not_get_the_last_ones(machine: Machine) -> None:
    machine.write(NEW)
    machine.follow()
    tree = ownkernel.tree(OLD, grub=ownkernel.menu(OLD).replace("\tinitrd", "\t#"))
    del tree[f"/boot/initrd.img-{OLD}"]
    machine.write_tree(tree)

    files = machine.follow()

    assert files.initrd is None
    assert files.kernel.read_bytes() == kernel_of(OLD)


def test_another_command_line_alone_is_followed(machine: Machine) -> None:
    machine.write(OLD, options="quiet mitigations=off")

    files = machine.follow()

    assert files.cmdline.endswith("mitigations=off")
    assert files.kernel == machine.box.artifacts[ArtifactKind.KERNEL].path
    assert machine.notes == []


def test_a_guest_that_goes_back_is_followed_back(machine: Machine) -> None:
    machine.write(NEW, OLD)
    machine.follow()
    machine.write(OLD)

    files = machine.follow()

    assert files.kernel == machine.box.artifacts[ArtifactKind.KERNEL].path
    assert machine.notes == [f"its disk has another kernel: {OLD} (it was {NEW})"]
    machine.write(NEW, OLD)
    machine.follow()
    assert machine.booted == pair(NEW)


def test_a_pinned_machine_goes_back_to_its_boxs_kernel(machine: Machine) -> None:
    machine.write(NEW, OLD)
    machine.follow()
    machine.pin()

    files = machine.follow()

    assert machine.booted == pair(OLD)
    assert files.cmdline == machine.box.disk_cmdline
    assert (machine.record.kernel, machine.notes) == ({}, [])


def test_a_box_that_says_its_own_kernel_is_not_looked_into(machine: Machine) -> None:
    machine.box = replace(machine.box, disk_boots=False)
    machine.write(NEW)

    machine.follow()

    assert machine.booted == pair(OLD)


def test_copies_that_went_are_made_again(machine: Machine) -> None:
    machine.write(NEW)
    machine.follow()
    machine.layout.disk_initrd.unlink()

    machine.follow()

    assert machine.booted == pair(NEW)
    assert machine.notes == []


# --- disks that tell nothing ----------------------------------------------------------------------


def falls_back(machine: Machine, release: str) -> str:
    (note,) = machine.notes
    begin = f"the machine's disk tells no kernel to boot, so it is {release} again: "
    assert note.startswith(begin), note
    assert machine.booted == pair(release)
    leftovers = [path.name for path in machine.layout.directory.glob(".*")]
    assert leftovers == []
    return note.removeprefix(begin)


@pytest.mark.parametrize("last", [OLD, NEW])
@pytest.mark.parametrize("form", ["raw", "qcow2"])
@pytest.mark.parametrize(
    "content",
    [b"", bytes(1 << 20), b"QFI\xfb" + b"\xff" * 4092, random.Random(1).randbytes(1 << 16)],
    ids=["empty", "zeros", "a header", "noise"],
)
def test_a_disk_that_cannot_be_read_boots_what_it_booted_last(
    machine: Machine, last: str, form: str, content: bytes
) -> None:
    if last == NEW:
        machine.write(NEW, OLD)
        machine.follow()
    machine.layout.disk.write_bytes(content)
    machine.form = form

    machine.follow()

    assert falls_back(machine, last)


HOSTILE: dict[str, dict[str, str | bytes | make.Link | None]] = {
    "no kernel": {f"/boot/vmlinuz-{NEW}": None},
    "a kernel that is none": {f"/boot/vmlinuz-{NEW}": b"#!/bin/sh\n" * 100},
    "a kernel of no bytes": {f"/boot/vmlinuz-{NEW}": b""},
    "an initrd that is none": {f"/boot/initrd.img-{NEW}": b"no archive\n" * 100},
    "an initrd cut short": {f"/boot/initrd.img-{NEW}": initrd_of(NEW)[:150]},
    "links in a circle": {f"/boot/vmlinuz-{NEW}": make.Link(f"vmlinuz-{NEW}")},
    "a link out of the disk": {f"/boot/vmlinuz-{NEW}": make.Link("../../../../etc/passwd")},
    "a command line without end": {"/boot/grub/grub.cfg": ownkernel.menu(NEW, options="x" * 5000)},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_a_guest_did_to_its_boot_folder_does_not_keep_it_from_starting(
    machine: Machine, what: str
) -> None:
    tree = ownkernel.tree(NEW)
    for path, content in HOSTILE[what].items():
        if content is None:
            del tree[path]
        else:
            tree[path] = content
    machine.write_tree(tree)

    machine.follow()

    assert falls_back(machine, OLD)


def test_a_bad_initrd_does_not_leave_half_of_a_pair(machine: Machine) -> None:
    machine.write(NEW)
    machine.follow()
    newest = "6.1.0-11-amd64"
    tree = ownkernel.tree(newest)
    tree[f"/boot/initrd.img-{newest}"] = b"no archive\n" * 100
    machine.write_tree(tree)

    machine.follow()

    falls_back(machine, NEW)


def test_words_no_program_can_be_given_stay_out_of_the_command_line(machine: Machine) -> None:
    machine.write(OLD, options="a=\0b c=\x1b[31m d=\u00e9 e=\ud7ff")

    machine.follow()

    words = kernel_cmdline(machine.box, machine.config, machine.record.kernel.get("cmdline", ""))
    assert words.isprintable(), words


def test_whoever_cancels_is_heard(machine: Machine) -> None:
    machine.write(NEW)
    machine.cancel.set()

    with pytest.raises(Cancelled):
        machine.follow()

    assert [path.name for path in machine.layout.directory.glob(".*")] == []
    machine.cancel = Cancel()
    machine.follow()
    assert machine.booted == pair(NEW)


def test_a_fuzzed_disk_boots_what_it_says_or_what_it_booted_last(
    machine: Machine, tmp_path: Path
) -> None:
    image = ownkernel.disk(tmp_path / "image", NEW, OLD).read_bytes()
    used = [at for at in range(0, len(image), 1024) if any(image[at : at + 1024])]
    chance = random.Random(7)
    outcomes = set()
    for _ in range(rounds(150)):
        damaged = bytearray(image)
        for _ in range(chance.choice((1, 3, 30))):
            at = chance.choice(used) + chance.randrange(1024)
            damaged[at] = chance.choice((0, 255, damaged[at] ^ 1 << chance.randrange(8)))
        machine.layout.disk.write_bytes(damaged[: chance.choice((None, None, len(used) * 512))])
        machine.record.kernel = {}

        files = machine.follow()

        booted = files.kernel.read_bytes()
        outcomes.add(machine.notes[0][:20] if machine.notes else "")
        assert b"HdrS" in booted
        cmdline = kernel_cmdline(machine.box, machine.config, files.cmdline)
        assert cmdline.isprintable(), cmdline
        assert len(cmdline) < 2048 + 100
        assert [path.name for path in machine.layout.directory.glob(".*")] == []
    assert len(outcomes) > 1, outcomes


@needs_e2fsprogs
def test_after_a_power_cut_the_disks_journal_is_read_too(machine: Machine) -> None:
    tree = ownkernel.tree(OLD, NEW, grub=ownkernel.menu(OLD))
    machine.write_tree(tree)
    disk = machine.layout.disk
    after = disk.with_name("after")
    shutil.copy(disk, after)
    (disk.parent / "menu").write_text(ownkernel.menu(NEW, OLD))
    debugfs(after, "rm /boot/grub/grub.cfg", f"write {disk.parent / 'menu'} /boot/grub/grub.cfg")
    size = 1024
    before, changed = disk.read_bytes(), after.read_bytes()
    numbers = [
        at // size
        for at in range(0, len(before), size)
        if before[at : at + size] != changed[at : at + size]
    ]
    (disk.parent / "blocks").write_bytes(
        b"".join(changed[n * size : (n + 1) * size] for n in numbers)
    )
    blocks = f"-b {','.join(map(str, numbers))} {disk.parent / 'blocks'}"
    debugfs(disk, "jo -c -v 3", f"jw {blocks}", "jc")

    machine.follow()

    assert machine.booted == pair(NEW)
