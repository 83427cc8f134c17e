"""A place where a test may mount: its own, seen by nobody else."""

from __future__ import annotations

import os
import subprocess

import pytest


def own_mounts() -> list[str]:
    """What to put before a command that mounts. Skips the test where the system allows none."""
    words = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "-rm"]
    try:
        tried = subprocess.run([*words, "true"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs the program unshare")
    if tried.returncode != 0:
        pytest.skip(f"no mount namespace for this user here: {tried.stderr.strip()}")
    return words
