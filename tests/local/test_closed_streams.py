"""vx started with its standard streams closed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os, sys
from vagrantish.cli.main import entry
sys.argv = ["vx", "version"]
try:
    entry()
except SystemExit as ended:
    status = ended.code
with open(sys.orig_argv[-1], "w") as file:
    file.write(f"{status} {file.fileno()}")
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_of_vx_takes_the_place_of_a_closed_stream(tmp_path: Path, closed: str) -> None:
    said = tmp_path / "said"

    subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", PROGRAM, said],
        check=True,
        timeout=60,
        env=dict(os.environ),
    )

    status, descriptor = map(int, said.read_text().split())
    assert status == 0
    assert descriptor > 2
