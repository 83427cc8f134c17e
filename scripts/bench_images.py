"""qcow2 images turned into raw disks by vx and by qemu-img.

Whole processes are timed, Python's start included, in turns on the same images, each after the
other's result was removed. vx's result is on the disk when it ends; qemu-img's may not be.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from scripts.bench_boximage import host_files
from scripts.bench_table import Row, Series, took

IMAGE_BYTES = 600 << 20  # of data, before compression
VIRTUAL_BYTES = 1 << 30
MEMORY_MAX = 150e6
OPTIONS = {"zlib": ("-c",), "zstd": ("-c", "-o", "compression_type=zstd")}
CHILD = """\
import re, sys
from pathlib import Path
from vagrantish.formats.qcow2.convert import convert_to_raw

convert_to_raw(Path(sys.argv[1]), Path(sys.argv[2]))
status = Path("/proc/self/status")
if status.exists():
    print(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1])
"""


def rows(repetitions: int) -> list[Row]:
    """For each way of compressing. Raises SystemExit if a result is not as qemu-img's."""
    with tempfile.TemporaryDirectory(prefix="vxi-", dir="/var/tmp") as name:
        return [
            row
            for kind, image in _make_images(Path(name)).items()
            for row in _conversion(kind, image, repetitions)
        ]


def _make_images(folder: Path) -> dict[str, Path]:
    """Compressed images of one disk: programs, libraries and texts of this host, and zeros."""
    raw = folder / "disk.raw"
    left = IMAGE_BYTES
    with raw.open("wb") as file:
        for number, path in enumerate(host_files()):
            data = path.read_bytes()[:left]
            file.write(data)
            # Files lie at blocks, and a file system has room between them.
            file.seek(-file.tell() % 4096 + (number % 16 == 0) * (1 << 19), 1)
            left -= len(data)
            if not left:
                break
        file.truncate(VIRTUAL_BYTES)
    images = {}
    for name, options in OPTIONS.items():
        images[name] = folder / f"{name}.qcow2"
        took("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, images[name])
    raw.unlink()
    return images


def _conversion(kind: str, image: Path, repetitions: int) -> list[Row]:
    ours, theirs = image.with_name("ours"), image.with_name("theirs")
    base, own, base_cpu, own_cpu = Series(), Series(), Series(), Series()
    memory = Series(unit="MB")  # the most that one of vx's processes took
    for number in range(repetitions + 1):
        by_hand = took("qemu-img", "convert", "-O", "raw", image, theirs)
        with_vx = took(sys.executable, "-c", CHILD, image, ours)
        if number:  # the first time the image may come from the disk
            base.values.append(by_hand.wall_s)
            own.values.append(with_vx.wall_s)
            base_cpu.values.append(by_hand.cpu_s)
            own_cpu.values.append(with_vx.cpu_s)
            memory.values.append(float(with_vx.printed or 0) * 1024)
        else:
            _compare(ours, theirs)
        ours.unlink()
        theirs.unlink()
    return [
        Row(f"qcow2 ({kind}) to raw, and qemu-img", base, own, at_least=1.2),
        Row("  the same, CPU seconds", base_cpu, own_cpu),
        Row("  most memory", Series(), memory, at_most=MEMORY_MAX),
    ]


def _compare(ours: Path, theirs: Path) -> None:
    took("cmp", ours, theirs)
    took("sync", theirs)  # only then are all its blocks counted
    if ours.stat().st_blocks > theirs.stat().st_blocks:
        raise SystemExit(f"{ours} takes more room than {theirs}")
