"""e2fsprogs: the ext4 images its programs make, and what they think of ours."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

UUID = "11112222-3333-4444-5555-666677778888"
needs_e2fsprogs = pytest.mark.skipif(
    not all(shutil.which(name) for name in ("mkfs.ext4", "debugfs", "e2fsck")),
    reason="needs e2fsprogs",
)


def mkfs(image: Path, tree: Path | None, size: str, *options: str) -> None:
    source = ["-d", str(tree)] if tree else []
    names = ["-L", "cloudimg-rootfs", "-U", UUID]
    subprocess.run(
        ["mkfs.ext4", "-q", "-F", *names, *options, *source, str(image), size],
        check=True,
        capture_output=True,
    )


def debugfs(image: Path, *commands: str) -> None:
    """Raises CalledProcessError; debugfs itself reports errors only in words."""
    text = "".join(f"{command}\n" for command in commands)
    done = subprocess.run(
        ["debugfs", "-w", "-f", "-", str(image)],
        input=text, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr.count("\n") == 1, done.stderr  # its version


def check(image: Path) -> None:
    """Fails where e2fsck finds anything to mend."""
    done = subprocess.run(["e2fsck", "-fn", str(image)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-500:]
