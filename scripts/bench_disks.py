"""A kernel and initrd out of a disk image, and a machine's disk over a box's."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.bench_boximage import debian, filled
from scripts.bench_table import Row, Series, timed, took
from vagrantish.box import bootdisk
from vagrantish.box.disk import prepare_disk
from vagrantish.formats.device import FileDevice
from vagrantish.formats.qcow2.device import Qcow2Device
from vagrantish.model import Artifact, ArtifactKind, Box, Digest, RootKind, SeedKind

if TYPE_CHECKING:
    from typing import Literal

GIB = 1 << 30
PARTS: tuple[Literal["kernel", "initrd"], ...] = ("kernel", "initrd")
# What `vx box add` does with a disk that boots, the checks of what it found included.
CHILD = """\
import sys
from pathlib import Path
from vagrantish.box.ondisk import take_boot_files
from vagrantish.events import Cancel, Op

class Silent:
    def emit(self, event, /):
        pass

take_boot_files(Path(sys.argv[1]), Path(sys.argv[2]), root="", label="it", arch="x86_64",
                op=Op(Silent(), Cancel()))
"""


class Counted:
    """A device that knows how much was read of it."""

    def __init__(self, device: FileDevice) -> None:
        self._device = device
        self.size = device.size
        self.read_bytes = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.read_bytes += length
        return self._device.read_at(offset, length)


def rows(repetitions: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="vxd-", dir="/var/tmp") as name:
        return [*_boot_files(Path(name), repetitions), _clones(Path(name), repetitions)]


def _boot_files(folder: Path, repetitions: int) -> list[Row]:
    image = folder / "ten.qcow2"
    shutil.copyfile(debian(), image)
    took("qemu-img", "resize", "-q", image, "10G")
    whole, share, seconds = Series(), Series(unit="x"), Series()
    for number in range(repetitions + 1):
        target = folder / f"boot-{number}"
        target.mkdir()
        done = took(sys.executable, "-c", CHILD, image, target)
        if number:
            whole.values.append(done.wall_s)
            seconds.values.append(done.cpu_s)
    share.values.append(_share_read(image, folder))
    return [
        Row("kernel and initrd out of a 10 GiB qcow2", Series(), whole, at_most=2),
        Row("  the same, CPU seconds", Series(), seconds),
        Row("  bytes read for each byte taken", Series(), share, at_most=2),
    ]


def _share_read(image: Path, folder: Path) -> float:
    with FileDevice(image) as file:
        counted = Counted(file)
        found = bootdisk.look(Qcow2Device(counted))
        choice = found.choices()[0]
        for part in PARTS:
            found.extract(choice, part, folder / part, alive=lambda: None)
    return counted.read_bytes / sum((folder / part).stat().st_size for part in PARTS)


def _clones(folder: Path, repetitions: int) -> Row:
    image = filled(folder, 20 * GIB)
    digest = Digest(algorithm="sha256", hex=hashlib.sha256().hexdigest())
    disk = Artifact(
        kind=ArtifactKind.DISK, digest=digest, size_bytes=image.stat().st_size, path=image
    )
    box = Box(
        name="bench", version="1", arch="x86_64", artifacts={ArtifactKind.DISK: disk}, cmdline="",
        user="root", seed=SeedKind.NONE, root=RootKind.DISK,
    )  # fmt: skip
    by_hand, with_vx = Series(), Series()
    for number in range(repetitions + 1):
        theirs, ours = folder / f"theirs-{number}", folder / f"ours-{number}"
        with timed(by_hand):
            took("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, theirs)
        with timed(with_vx):
            prepare_disk(box, ours, None)
    for series in (by_hand, with_vx):
        del series.values[0]
    return Row("a machine's disk, 20 GiB, and qemu-img", by_hand, with_vx, at_most=0.05)
