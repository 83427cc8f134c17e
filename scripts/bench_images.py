"""How fast vx turns qcow2 images into raw disks, beside qemu-img.

Alone: ``.venv/bin/python scripts/bench_images.py [-n REPETITIONS]``. Whole processes are timed, Python's start included, in turns on the same images, each after the
other's result was removed. vx's result is on the disk when it ends; qemu-img's may not be.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
IMAGE_BYTES = 600 << 20  # of data, before compression
VIRTUAL_BYTES = 1 << 30
FOLDERS = (Path("/usr/lib"), Path("/usr/share"), Path("/usr/bin"))
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


def make_images(folder: Path) -> dict[str, Path]:
    """Compressed images of one disk: programs, libraries and texts of this host, and zeros."""
    raw = folder / "disk.raw"
    left = IMAGE_BYTES
    with raw.open("wb") as file:
        for number, path in enumerate(_files()):
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
        _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, images[name])
    raw.unlink()
    return images


def _files() -> Iterator[Path]:
    for folder in FOLDERS:
        for place, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                path = Path(place, name)
                if path.is_file() and not path.is_symlink():
                    yield path


@dataclass(frozen=True)
class Conversion:
    """The same image converted by both, again and again."""

    title: str
    qemu_img_s: tuple[float, ...]
    vx_s: tuple[float, ...]
    vx_peak_bytes: int  # the most memory one of its processes took; 0 where /proc does not tell

    @property
    def times_as_fast(self) -> float:
        return statistics.median(self.qemu_img_s) / statistics.median(self.vx_s)

    def __str__(self) -> str:
        theirs, ours = (
            f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"
            for values in (self.qemu_img_s, self.vx_s)
        )
        return (
            f"{self.title:20}  qemu-img {theirs}  vx {ours}  {self.times_as_fast:.2f} times as "
            f"fast, {self.vx_peak_bytes / 1e6:.0f} MB of memory"
        )


def conversions(repetitions: int) -> list[Conversion]:
    """One for each way of compressing. Raises SystemExit if a result is not as qemu-img's."""
    with tempfile.TemporaryDirectory(prefix="vxi-", dir="/var/tmp") as name:
        return [
            _conversion(f"qcow2 ({kind}) to raw", image, repetitions)
            for kind, image in make_images(Path(name)).items()
        ]


def _conversion(title: str, image: Path, repetitions: int) -> Conversion:
    ours, theirs = image.with_name("ours"), image.with_name("theirs")
    own: list[float] = []
    base: list[float] = []
    peak = 0
    for number in range(repetitions + 1):
        base.append(_timed("qemu-img", "convert", "-O", "raw", image, theirs)[0])
        seconds, printed = _timed(sys.executable, "-c", CHILD, image, ours)
        own.append(seconds)
        peak = max(peak, int(printed or 0) << 10)
        if not number:
            _compare(ours, theirs)
        ours.unlink()
        theirs.unlink()
    # In the first round the image may have come from the disk.
    return Conversion(title, tuple(base[1:]), tuple(own[1:]), peak)


def _timed(*command: str | Path) -> tuple[float, str]:
    began = time.monotonic()
    printed = _run(*command)
    return time.monotonic() - began, printed


def _compare(ours: Path, theirs: Path) -> None:
    _run("cmp", ours, theirs)
    _run("sync", theirs)  # only then are all its blocks counted
    if ours.stat().st_blocks > theirs.stat().st_blocks:
        raise SystemExit(f"{ours} takes more room than {theirs}")


def _run(*command: str | Path) -> str:
    return subprocess.run(
        command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ).stdout


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure vx beside qemu-img convert.")
    parser.add_argument("-n", "--repetitions", type=int, default=5, metavar="N")
    for conversion in conversions(parser.parse_args().repetitions):
        print(conversion)
    version = _run("qemu-img", "--version").splitlines()[0]
    print(f"{version}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
