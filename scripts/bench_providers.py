"""A machine of the micro box under each hypervisor there is, or whose stand-in there is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.bench_table import ROOT, Row, Series, timed

# The stand-ins are the tests'.
from tests.fakes.applevz.install import install as install_vfkit
from tests.fakes.hyve.install import install as install_xhyve

if TYPE_CHECKING:
    from collections.abc import Callable

VX = Path(sys.executable).with_name("vx")
SSH_PORT = 22 if os.geteuid() == 0 else 20022
PROMISED_S = 1.0  # how much later than under QEMU itself a guest may be ready


def rows(repetitions: int) -> list[Row]:
    """``vx up`` of a new machine: QEMU's own provider, and others with QEMU behind a stand-in."""
    home = subprocess.run(
        [ROOT / "scripts/home.sh"], check=True, capture_output=True, text=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="vxb-", dir="/tmp") as name:
        folder = Path(name)
        settings = {
            "qemu": lambda: "",
            "xhyve": lambda: _xhyve(folder, "xhyve", "head"),
            "hyperkit": lambda: _xhyve(folder, "hyperkit", "hyperkit"),
            "vfkit": lambda: _vfkit(folder),
        }
        series = {provider: Series() for provider in settings}
        projects = {
            provider: _project(folder / provider, provider, make)
            for provider, make in settings.items()
        }
        for number in range(repetitions + 1):
            for provider, project in projects.items():
                # The first time is for what is looked up once on a host.
                with timed(series[provider] if number else Series()):
                    _vx(project, home, "up")
                _vx(project, home, "destroy", "--yes")
    return [
        Row(
            f"`vx up` under {provider}'s stand-in, and qemu",
            series["qemu"],
            measured,
            plus_s=PROMISED_S if provider in ("xhyve", "hyperkit") else None,
        )
        for provider, measured in series.items()
        if provider != "qemu"
    ]


def _project(folder: Path, provider: str, make: Callable[[], str]) -> Path:
    folder.mkdir()
    text = f'box = "micro"\nmemory = "256MiB"\nprovider = "{provider}"\n{make()}'
    (folder / "Xhyvefile").write_text(text, encoding="utf-8")
    return folder


def _xhyve(folder: Path, provider: str, flavour: str) -> str:
    settings = {
        "FAKE_XHYVE_STATE": str(folder / "state"),
        "FAKE_XHYVE_ROOT": "1",
        "FAKE_XHYVE_FLAVOUR": flavour,
        "FAKE_XHYVE_SSH_PORT": str(SSH_PORT),
    }
    program = install_xhyve(folder / "bin", provider, settings=settings)
    return _table(provider, program, folder / "state")


def _vfkit(folder: Path) -> str:
    state = folder / "vfkit-state"
    settings = {"FAKE_VFKIT_STATE": str(state), "FAKE_VFKIT_SSH_PORT": str(SSH_PORT)}
    program = install_vfkit(folder / "bin", settings=settings)
    return _table("vfkit", program, state)


def _table(provider: str, program: Path, state: Path) -> str:
    return (
        f"[ssh]\nguest_port = {SSH_PORT}\n"
        f'[{provider}]\nbinary = "{program}"\nleases = "{state}/dhcpd_leases"\n'
    )


def _vx(folder: Path, home: str, *words: str) -> None:
    done = subprocess.run(
        [VX, *words], cwd=folder, env=os.environ | {"VX_HOME": home}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"vx {' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
