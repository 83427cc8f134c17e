"""A full disk is told as a full disk, and leaves nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.mounts import own_mounts

VX = Path(sys.executable).with_name("vx")
BUILD = (
    'mount -t tmpfs -o size="$1" tmpfs "$2" && VX_HOME="$2/h" "$3" box build micro; echo "[$?]"; \
find "$2" -type f ! -name "*.lock" ! -name "*.deb"'
)


@pytest.mark.parametrize("size", ["12m", "60m"])
def test_building_micro_on_a_small_disk_ends_in_one_clear_error(tmp_path: Path, size: str) -> None:
    """12 MiB cannot hold the packages; 60 MiB holds them but not the box too."""
    done = subprocess.run(
        [*own_mounts(), "sh", "-c", BUILD, "sh", size, str(tmp_path), str(VX)],
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert done.stdout.split() == ["[5]"], done.stdout + done.stderr
    assert done.stderr.count("vx: error:") == 1
    assert "No space left on device" in done.stderr
    assert "Free some space" in done.stderr
