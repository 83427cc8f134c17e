"""The Debian cloud image booted by vx and by hand with a minimal seed, as machines of one kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.bench_boximage import debian
from scripts.bench_guests import Parts, hand_guest
from scripts.bench_machine import SETTLE_S, VX
from scripts.bench_table import Row, Series, timed, took

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

XHYVEFILE = 'box = "debian"\nmemory = "1GiB"\ncpus = 2\n'
# What of vx's command line makes the same machine by hand.
MACHINE = ("-machine", "-accel", "-cpu", "-smp", "-m")


def rows(repetitions: int) -> list[Row]:
    first, later = (Series(), Series()), (Series(), Series())
    with _project() as project:
        project.vx("up")  # the programs and the image are in memory from now on
        parts, machine = project.by_hand()
        project.vx("destroy", "--yes")
        for number in range(1, repetitions + 1):
            print(f"Repetition {number} of {repetitions}", file=sys.stderr)
            with hand_guest(parts, machine) as guest:
                first[0].values.append(guest.boot().done_s)
                time.sleep(SETTLE_S)
                guest.power_off()
                later[0].values.append(guest.boot().ssh_s)
            with timed(first[1]):
                project.vx("up")
            time.sleep(SETTLE_S)
            project.vx("halt")
            with timed(later[1]):
                project.vx("up")
            project.vx("destroy", "--yes")
    return [
        Row("Debian's first boot, cloud-init done", *first, times=1.1),
        Row("  its later boots to ssh", *later, times=1.05),
    ]


class _Project:
    def __init__(self, home: Path, folder: Path) -> None:
        self.folder = folder
        self.env = os.environ | {"VX_HOME": str(home)}
        (folder / "Xhyvefile").write_text(XHYVEFILE, encoding="utf-8")

    def vx(self, *args: str | Path) -> str:
        return took(VX, *args, env=self.env, folder=self.folder).printed

    def by_hand(self) -> tuple[Parts, Sequence[str]]:
        """What the machine that runs is made of."""
        words: list[str] = json.loads(self.vx("argv", "--json"))["argv"]

        def given(option: str) -> str:
            return words[words.index(option) + 1]

        parts = Parts(
            disk=debian(),
            kernel=Path(given("-kernel")),
            initrd=Path(given("-initrd")),
            cmdline=given("-append"),
            user="debian",
        )
        return parts, [word for option in MACHINE for word in (option, given(option))]


@contextmanager
def _project() -> Iterator[_Project]:
    """With the box in a store of its own; leaves no guest behind."""
    with (
        tempfile.TemporaryDirectory(prefix="vxg-", dir="/tmp") as home,
        tempfile.TemporaryDirectory(prefix="vxp-", dir="/tmp") as folder,
    ):
        project = _Project(Path(home), Path(folder))
        project.vx("box", "add", debian(), "--name", "debian", "--version", "12")
        try:
            yield project
        finally:
            subprocess.run(
                [VX, "destroy", "--yes"], cwd=folder, env=project.env, check=False,
                stdin=subprocess.DEVNULL, capture_output=True,
            )  # fmt: skip
