"""What `make` does before anything else, where nothing is installed and little is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = [
    "cat",
    "cksum",
    "dirname",
    "env",
    "grep",
    "id",
    "mkdir",
    "mktemp",
    "printf",
    "rm",
    "sed",
    "sh",
    "tail",
    "wc",
]


class Computer:
    """A checkout, and a PATH on which there is only what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "bin"
        self.programs.mkdir()
        for tool in TOOLS:
            if found := shutil.which(tool):
                (self.programs / tool).symlink_to(found)
        self.checkout = folder / "checkout"
        shutil.copytree(ROOT / "scripts", self.checkout / "scripts")
        shutil.copy(ROOT / "pyproject.toml", self.checkout)

    def add(self, name: str, script: str) -> None:
        path = self.programs / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def add_apt(self, install: str = "exit 100") -> None:
        """An apt that knows every package."""
        self.add("apt-cache", "echo 'Candidate: 1.0'")
        self.add("apt-get", f'case "$*" in *install*) {install};; esac')

    def bootstrap(self, target: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.checkout / "scripts/bootstrap.sh", target],
            env={"PATH": str(self.programs), **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


def test_an_ordinary_user_without_sudo_is_told_what_to_install(computer: Computer) -> None:
    computer.add_apt()
    computer.add("id", "echo 1000")

    done = computer.bootstrap("demo")

    assert done.returncode == 1
    assert "make demo: packages are needed first, and only root may install them" in done.stderr
    assert "sudo apt-get install --no-install-recommends python3" in done.stderr
    assert "qemu-system-x86 openssh-client" in done.stderr
    assert not (computer.checkout / ".venv").exists()


def test_sudo_that_would_ask_for_a_password_is_not_waited_for(computer: Computer) -> None:
    computer.add_apt()
    computer.add("id", "echo 1000")
    computer.add("sudo", 'case "$1" in -n) exit 1;; esac; sleep 60')

    done = computer.bootstrap("demo")

    assert (done.returncode, "only root may install them" in done.stderr) == (1, True)


def test_installing_can_be_forbidden(computer: Computer) -> None:
    computer.add_apt()
    computer.add("id", "echo 0")

    done = computer.bootstrap("demo", VX_APT="no")

    assert done.returncode == 1
    assert "VX_APT=no forbids installing them" in done.stderr


def test_what_apt_said_is_shown_when_it_fails(computer: Computer) -> None:
    computer.add_apt(install="echo 'E: no space left on this disk' >&2; exit 100")
    computer.add("id", "echo 0")

    done = computer.bootstrap("demo")

    assert done.returncode == 1
    assert "E: no space left on this disk" in done.stderr
    assert "make demo: apt could not install: python3.14-venv qemu-system-x86" in done.stderr


def test_apt_that_installs_nothing_is_not_asked_for_ever(computer: Computer) -> None:
    computer.add_apt(install="exit 0")
    computer.add("id", "echo 0")

    done = computer.bootstrap("demo")

    assert (done.returncode, "still missing after apt" in done.stderr) == (1, True)


def test_a_python_that_is_too_old_or_only_a_shim_is_passed_over(computer: Computer) -> None:
    computer.add_apt()
    computer.add("id", "echo 1000")
    computer.add("python3", "exit 1")
    computer.add("python3.12", "echo 'not installed here' >&2; exit 127")

    done = computer.bootstrap("check")

    assert (done.returncode, "-venv" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("target", "user", "wanted", "spared"),
    [
        ("bench", "0", "mmdebstrap", "shellcheck"),
        ("test", "0", "shellcheck", "uidmap"),
        ("test", "1000", "uidmap", "nothing-else"),
        ("check", "0", "", "mmdebstrap"),
    ],
)
def test_what_images_are_made_with_is_installed_where_images_are_made(
    computer: Computer, target: str, user: str, wanted: str, spared: str
) -> None:
    log = computer.checkout.parent / "installed"
    computer.add_apt(install=f'echo "$*" >>{log}')
    computer.add("id", f"echo {user}")
    computer.add("sudo", 'shift; "$@"')
    for program in ("qemu-system-x86_64", "ssh", "sshd"):
        computer.add(program, "")
    computer.add("python3", 'case "$*" in *print*) echo python3;; esac')

    computer.bootstrap(target)  # it gets no further than to the .venv

    packages = log.read_text(encoding="utf-8").split() if log.exists() else [""]
    assert wanted in packages
    assert spared not in packages


def test_elsewhere_than_on_debian_it_names_what_is_needed(computer: Computer) -> None:
    done = computer.bootstrap("demo")

    assert done.returncode == 1
    assert "Debian and Ubuntu only" in done.stderr
    assert "Python 3.11 or newer, QEMU" in done.stderr


def home(scripts: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [scripts / "home.sh"],
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
    )


def test_a_checkout_too_deep_for_sockets_keeps_its_machines_elsewhere(
    tmp_path: Path, homes: Path
) -> None:
    deep = tmp_path / ("d" * 100)
    shutil.copytree(ROOT / "scripts", deep / "scripts")

    near = home(ROOT / "scripts").stdout.strip()
    far = home(deep / "scripts", XDG_CACHE_HOME=str(homes)).stdout.strip()

    assert len(near) <= len(str(ROOT / ".cache/vx"))
    assert far == f"{homes}/vx-demo"
    assert Path(far).is_dir()


def test_where_every_path_is_too_long_for_sockets_that_is_said(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    shutil.copytree(ROOT / "scripts", deep / "scripts")

    done = home(deep / "scripts", XDG_CACHE_HOME=str(deep))

    assert (done.returncode, "short enough for sockets" in done.stderr) == (1, True)
