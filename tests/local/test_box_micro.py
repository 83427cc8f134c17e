"""Building micro on hosts that cannot, with an apt that is not there, lies or fails."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from vagrantish.box.micro import kernel
from vagrantish.errors import BoxError

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="micro is built on x86-64"
)

ROOT = Path(__file__).resolve().parents[2]
BUILDING = textwrap.dedent("""
    import sys
    from pathlib import Path
    from tests.fakes.recorder import quiet_op
    from vagrantish.box import micro
    from vagrantish.box.store import BoxStore
    from vagrantish.errors import VxError
    from vagrantish.paths import VxHome
    home = VxHome(Path(sys.argv[1]))
    try:
        print(micro.build(BoxStore(home), home, force=False, op=quiet_op()).label)
    except VxError as error:
        print(type(error).__name__, "|", error.message, "|", error.hint)
""")
PACKAGES = (
    "busybox-static", "dropbear-bin", "openssh-sftp-server", "sudo", "libpam-modules", "rsync",
    "e2fsprogs", "linux-image-cloud-amd64", "linux-image-6.1.0-1-cloud-amd64",
)  # fmt: skip
CONTENT = b"not really a package"


def stanza(name: str) -> str:
    depends = "linux-image-6.1.0-1-cloud-amd64 (= 1)" if name == "linux-image-cloud-amd64" else "x"
    return (
        f"Package: {name}\nVersion: 6.1.7-1\nArchitecture: amd64\nDepends: {depends}\n"
        f"Filename: pool/{name}.deb\nSize: {len(CONTENT)}\n"
        f"SHA256: {hashlib.sha256(CONTENT).hexdigest()}\n"
    )


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A PATH with a dpkg and an apt of our own, which knows every package micro needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    listed = "\n".join(stanza(name) for name in PACKAGES)
    (tmp_path / "lists").write_text(listed)
    script(folder / "dpkg", "echo amd64")
    script(folder / "dpkg-deb", "echo 'dpkg-deb: error: not a Debian format archive' >&2; exit 2")
    script(folder / "apt-cache", f"/bin/cat {tmp_path}/lists")
    script(folder / "apt-get", "exit 1")
    return folder


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def build(programs: Path, tmp_path: Path) -> str:
    """What became of it; nothing half-made stays."""
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-c", BUILDING, home],
        cwd=ROOT, env={"PATH": str(programs)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    assert not (home / "tmp").exists() or list((home / "tmp").iterdir()) == []
    assert not (home / "boxes").exists()
    return done.stdout


def test_without_apt_the_supported_systems_are_named(tmp_path: Path) -> None:
    told = build(tmp_path / "nothing", tmp_path)

    assert told.startswith("HostError | micro is built from Debian's or Ubuntu's packages")
    assert "Debian 12" in told
    assert "vx box add" in told


def test_another_architecture_is_refused(programs: Path, tmp_path: Path) -> None:
    script(programs / "dpkg", "echo i386")

    assert build(programs, tmp_path).startswith("HostError | micro is built for x86_64")


def test_empty_package_lists_ask_for_an_update(programs: Path, tmp_path: Path) -> None:
    script(programs / "apt-cache", "echo 'N: Unable to locate package' >&2; exit 100")

    told = build(programs, tmp_path)

    assert told.startswith("HostError | apt knows no package busybox-static")
    assert "sudo apt-get update" in told


def test_a_missing_package_is_named(programs: Path, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.write_text("\n".join(stanza(name) for name in PACKAGES if name != "dropbear-bin"))

    told = build(programs, tmp_path)

    assert told.startswith("HostError | apt knows no package dropbear-bin |")
    assert "universe" in told


def test_aptgets_own_words_are_passed_on(programs: Path, tmp_path: Path) -> None:
    script(
        programs / "apt-get", "echo noise; echo 'E: Failed to fetch x  404  Not Found'; exit 100"
    )

    told = build(programs, tmp_path)

    assert told.startswith(
        "FetchError | apt-get could not fetch the packages: E: Failed to fetch x"
    )
    assert "sudo apt-get update" in told


def test_a_package_that_is_not_the_promised_one_is_refused(programs: Path, tmp_path: Path) -> None:
    script(programs / "apt-get", fetching("something else"))

    assert build(programs, tmp_path).startswith("DigestMismatch |")
    assert list((tmp_path / "home" / "downloads" / "deb").iterdir()) == []


def test_a_package_apt_get_forgot_is_noticed(programs: Path, tmp_path: Path) -> None:
    script(programs / "apt-get", "exit 0")

    assert build(programs, tmp_path).startswith("FetchError | apt-get did not fetch")


def test_a_package_that_cannot_be_read_is_named_and_fetched_only_once(
    programs: Path, tmp_path: Path
) -> None:
    script(programs / "apt-get", fetching(CONTENT.decode()) + f"; echo run >>{tmp_path}/runs")

    first = build(programs, tmp_path)
    second = build(programs, tmp_path)

    assert first.startswith("BoxError | cannot read busybox-static_6.1.7-1_amd64.deb: dpkg-deb:")
    assert second == first
    assert (tmp_path / "runs").read_text() == "run\n"


@pytest.mark.skipif(
    shutil.which("zstd") is None or not Path("/usr/lib/apt/apt-helper").exists(),
    reason="needs zstd and apt",
)
def test_modules_packed_with_zstd_are_unpacked_by_apts_own_means() -> None:
    packed = subprocess.run(["zstd", "-qc"], input=CONTENT, capture_output=True, check=True).stdout

    assert kernel.unpacked(packed, "virtio.ko.zst") == CONTENT
    with pytest.raises(BoxError, match=r"cannot unpack virtio\.ko\.zst"):
        kernel.unpacked(packed[:-3], "virtio.ko.zst")


def fetching(content: str) -> str:
    names = " ".join(f"{name}_6.1.7-1_amd64.deb" for name in PACKAGES)
    return f"for name in {names}; do printf '%s' '{content}' >$name; done"
