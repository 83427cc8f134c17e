"""How fast vx is, beside the same done by hand: ``make bench``.

Everything is measured in this one run, by hand and with vx in turns, and shown as medians with the
least and the most. ``--only GROUP`` measures a part; guests take most of the time.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import vagrantish
from scripts import (
    bench_boxes,
    bench_disks,
    bench_fetch,
    bench_images,
    bench_machine,
    bench_providers,
)
from scripts.bench_table import HEADER, table, took
from vagrantish import __version__
from vagrantish.events import Cancel, Op
from vagrantish.paths import VxHome
from vagrantish.provider.hostcache import HostCache
from vagrantish.provider.qemu.accel import choose

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.bench_table import Row
    from vagrantish.events import Event

GROUPS: dict[str, Callable[[int], list[Row]]] = {
    "images": bench_images.rows,
    "fetch": bench_fetch.rows,
    "disks": bench_disks.rows,
    "boxes": bench_boxes.rows,
    "machine": bench_machine.rows,
    "providers": bench_providers.rows,
}
GUESTS = {"boxes": 3}  # at most so many repetitions of what takes minutes


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure vx beside the same done by hand.")
    parser.add_argument("-n", "--repetitions", type=int, default=5, metavar="N")
    parser.add_argument("--only", action="append", choices=GROUPS, metavar="GROUP",
                        help=f"one of {', '.join(GROUPS)}; may be given again")  # fmt: skip
    args = parser.parse_args()
    load = os.getloadavg()[0]
    # As pip leaves a package it installs; here each start would compile what was edited last.
    compileall.compile_dir(Path(vagrantish.__file__).parent, quiet=1)
    rows = []
    for name, measure in GROUPS.items():
        if args.only is None or name in args.only:
            print(f"Measuring {name}", file=sys.stderr)
            rows += measure(min(args.repetitions, GUESTS.get(name, args.repetitions)))
    print(
        f"\n{_about()}\nmedian (least to most) of up to {args.repetitions} repetitions in turns\n"
    )
    print(table([HEADER, *(row.cells() for row in rows)]))
    promises = [row for row in rows if row.is_promise]
    missed = [row.title.strip() for row in promises if not row.kept()]
    print(f"\n{len(missed)} of {len(promises)} missed" if missed else "\nAll kept.")
    if load > (os.cpu_count() or 1) / 2:
        print(f"The computer was busy with other things (load {load:.1f}): measure again without.")
    return 0


class _Silent:
    def emit(self, event: Event, /) -> None:
        del event


def _about() -> str:
    qemu = shutil.which("qemu-system-x86_64") or "qemu-system-x86_64"
    with tempfile.TemporaryDirectory(prefix="vxb-", dir="/tmp") as name:
        home = VxHome(Path(name))
        op = Op(_Silent(), Cancel())
        accel = choose(qemu, "auto", home=home, cache=HostCache(home, qemu), op=op).accel
    version = took(qemu, "--version").printed.splitlines()[0]
    return (
        f"vx {__version__}, Python {platform.python_version()}, {version} ({accel}), "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    )


if __name__ == "__main__":
    sys.exit(main())
