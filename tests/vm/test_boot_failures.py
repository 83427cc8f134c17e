"""Boots that fail on purpose: each is explained soon after the guest shows why, and again later.

Real throughout: kernel, busybox, dropbear, udev, kmod, initramfs-tools and systemd are Debian's own
(or Ubuntu's), and the lines that decide are theirs, but for those that begin with "vx: ", which are
the micro box's. What each test breaks is told there. Not shown live is "FATAL: kernel too old", which
today's glibc does not say any more; an initrd made for another kernel stands for it.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes import brokenguests, images
from tests.fakes.brokenguests import Parts
from tests.fakes.guest import MISSING
from tests.fakes.hyve.install import install
from tests.vm.test_lifecycle import guests_of
from vagrantish import paths
from vagrantish.box.store import BoxStore
from vagrantish.formats import cpio
from vagrantish.model import ArtifactKind, BoxRef
from vagrantish.ssh import keys

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Vx

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(MISSING is not None, reason=f"needs {MISSING}"),
    pytest.mark.timeout(900),
]

SOON_S = 10.0  # the promise: from the line that shows it to the end of vx
HANG_S = 240.0
STALL_S = 4.0
SSH_PORT = 22 if os.geteuid() == 0 else 20022


@dataclass(frozen=True, kw_only=True)
class Failed:
    error: dict[str, Any]
    console: Path
    seconds: float  # from the line that shows it to the end of vx
    booted_s: float  # until that line


def failing_up(vx: Vx, line: str, *, env: dict[str, str] | None = None) -> Failed:
    """``vx up``, which must fail after ``line`` was on the console."""
    began = time.monotonic()
    with vx.start("up", "--json", env=env) as child:
        seen_at = _seen_at(vx, line, child.poll)
        _, said = child.communicate(timeout=HANG_S)
        ended_at = time.monotonic()
    error = json.loads(said.splitlines()[-1])
    (console,) = vx.home.glob("machines/*/console.log")
    assert (child.returncode, error.get("stage") is None) == (7, False), said
    assert seen_at is not None, (
        f"no {line!r}: {said}\n{console.read_text(errors='replace')[-3000:]}"
    )
    return Failed(
        error=error, console=console, seconds=ended_at - seen_at, booted_s=seen_at - began
    )


def _seen_at(vx: Vx, line: str, poll: Any) -> float | None:
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        ended = poll() is not None
        for log in vx.home.glob("machines/*/console.log"):
            if line in log.read_text(errors="replace"):
                return time.monotonic()
        if ended:
            return None
        time.sleep(0.02)
    pytest.fail(f"the console never said {line!r}")


def explained(vx: Vx, *args: str | Path) -> tuple[str, str]:
    """The cause's id, and where boots end that have it."""
    cause = json.loads(vx.run("explain", *args, "--json").stdout)["cause"]
    return ("", "") if cause is None else (cause["id"], cause["stage"])


def is_explained(
    vx: Vx,
    failed: Failed,
    cause: str,
    *,
    stage: str,
    reached: str = "",
    line: str,
    hint: str,
    by_log: bool = True,
) -> None:
    """``reached``: how far it came, where that is not the stage it failed in. ``by_log``: the console
    alone shows the cause; else only who waited for ssh can tell.
    """
    error = failed.error
    assert error["cause"] == cause, error
    assert error["stage"] == (reached or stage), error
    assert any(line in shown for shown in error.get("console", [""])), error
    assert hint in error["hint"], error
    assert guests_of(vx) == []
    assert explained(vx) == (cause, stage)
    if by_log:
        assert explained(vx, "--serial", failed.console) == (cause, stage)
    # After a boot of minutes vx waits longer for a guest that is slow: the host is.
    assert failed.seconds < max(SOON_S, failed.booted_s / 5), failed


@pytest.fixture
def micro(micro_store: Path) -> Parts:
    box = BoxStore(paths.VxHome(micro_store)).find(BoxRef(name="micro"), arch="x86_64")
    assert box is not None
    return Parts(
        kernel=box.artifacts[ArtifactKind.KERNEL].path,
        initrd=box.artifacts[ArtifactKind.INITRD].path,
    )


@pytest.fixture(scope="module")
def debian() -> Parts:
    """Its kernel, and the initrd that initramfs-tools made for it."""
    if images.MISSING:
        pytest.skip(f"not installed: {', '.join(images.MISSING)}")
    root = images.open_images().root()
    return Parts(kernel=root.kernel, initrd=root.initrd)


def box_of(
    vx: Vx, kernel: Path, initrd: bytes, *, more: str = "", user: str = "vx", **words: str
) -> str:
    """A box of one's own in the project's folder, and settings for it."""
    (vx.folder / "initrd").write_bytes(initrd)
    cmdline = words.pop("cmdline", "console=ttyS0")
    seed = words.pop("seed", "overlay")
    parts = "".join(f', {key} = "{value}"' for key, value in words.items())
    return (
        f'memory = "256MiB"\nbox = {{ kernel = "{kernel}", initrd = "initrd", '
        f'cmdline = "{cmdline}", user = "{user}", seed = "{seed}"{parts} }}\n'
        f'[qemu]\naccel = "tcg"\n{more}'
    )


def start_script(text: str) -> cpio.Entry:
    """In the place of what the micro box starts: the seed's script is called by it."""
    return cpio.file("etc/vx/start", f"#!/bin/sh\nPATH=/usr/bin\n{text}".encode(), mode=0o755)


FIRST_BOOT = "exec sh /etc/vx/seed/first-boot.sh\n"


@pytest.fixture
def under_xhyve(vx: Vx) -> dict[str, str]:
    """What the double's environment must be; the program lies in the project's folder."""
    install(vx.folder / "bin")
    return {
        "FAKE_XHYVE_STATE": str(vx.folder / "state"),
        "FAKE_XHYVE_ROOT": "1",
        "FAKE_XHYVE_SSH_PORT": str(SSH_PORT),
    }


def by_xhyve(vx: Vx, settings: str) -> str:
    return (
        f'provider = "xhyve"\n{settings}[xhyve]\nbinary = "{vx.folder}/bin/xhyve"\n'
        f'leases = "{vx.folder}/state/dhcpd_leases"\n'
    )


# --- the ten ---------------------------------------------------------------------------------


def test_a_root_device_that_is_not_there(vx: Vx, debian: Parts) -> None:
    disk = brokenguests.small_disk(vx.folder / "disk.img")
    vx.xhyvefile(
        box_of(
            vx, debian.kernel, brokenguests.hasty(debian.archive()), disk=str(disk),
            cmdline="console=ttyS0 root=LABEL=nowhere",
        )
    )  # fmt: skip

    failed = failing_up(vx, "LABEL=nowhere does not exist")

    is_explained(
        vx, failed, "root-device-missing", stage="root device", reached="initrd",
        line="ALERT!  LABEL=nowhere does not exist", hint="Set root= in `boot.cmdline`",
    )  # fmt: skip


def test_an_initrd_without_the_driver_of_the_disk(vx: Vx, debian: Parts) -> None:
    disk = brokenguests.small_disk(vx.folder / "disk.img")
    initrd = brokenguests.without(
        brokenguests.hasty(debian.archive()), lambda name: name.endswith("/virtio_blk.ko")
    )
    vx.xhyvefile(
        box_of(
            vx, debian.kernel, initrd, disk=str(disk),
            cmdline="console=ttyS0 root=LABEL=data",
        )
    )  # fmt: skip

    failed = failing_up(vx, "LABEL=data does not exist")

    is_explained(
        vx, failed, "virtio-missing", stage="root device", reached="initrd",
        line="Gave up waiting for root file system device", hint="virtio_blk and virtio_pci",
    )  # fmt: skip


def test_an_initrd_that_is_damaged(vx: Vx, debian: Parts) -> None:
    vx.xhyvefile(
        box_of(
            vx, debian.kernel, debian.initrd.read_bytes(), seed="none",
            cmdline="console=ttyS0 root=/dev/vda1 panic=5",
            more=f'[ssh]\nhost_key = "{keys.generate("x").public}"\n',
        )
    )  # fmt: skip
    an_hour_ago = time.time() - 3600  # what changed just now is taken in anew each time
    os.utime(vx.folder / "initrd", (an_hour_ago, an_hour_ago))
    vx.run("fetch")
    (stored,) = (
        path
        for path in (vx.home / "artifacts").rglob("*")
        if path.is_file() and path.read_bytes() == debian.initrd.read_bytes()
    )
    brokenguests.damage(stored)

    failed = failing_up(vx, "unpacking failed")

    is_explained(
        vx, failed, "initrd-corrupt", stage="initrd", reached="init",
        line="Initramfs unpacking failed", hint="`vx box verify`",
    )  # fmt: skip


def test_a_kernel_that_panics_though_it_was_to_reboot(
    vx: Vx, micro: Parts, under_xhyve: dict[str, str]
) -> None:
    initrd = brokenguests.with_more(micro.archive(), start_script("echo c >/proc/sysrq-trigger\n"))
    settings = box_of(vx, micro.kernel, initrd, cmdline="console=ttyS0 panic=1")
    vx.xhyvefile(by_xhyve(vx, settings))

    failed = failing_up(vx, "Kernel panic - not syncing", env=under_xhyve)

    is_explained(
        vx, failed, "panic", stage="initrd",
        line="Kernel panic - not syncing: sysrq triggered crash", hint="`vx logs`",
    )  # fmt: skip
    assert "the guest's kernel panicked: sysrq triggered crash" in failed.error["message"]


def test_nobody_answers_dhcp(vx: Vx, under_xhyve: dict[str, str]) -> None:
    vx.xhyvefile(by_xhyve(vx, 'box = "micro"\n'))

    failed = failing_up(vx, "no answer to DHCP", env=under_xhyve | {"FAKE_XHYVE_NET": "none"})

    is_explained(
        vx, failed, "no-dhcp", stage="network", reached="initrd",
        line="vx: failed: no answer to DHCP on eth0", hint="`vx doctor network`",
    )  # fmt: skip


def test_there_is_no_sshd(vx: Vx, micro: Parts) -> None:
    initrd = brokenguests.without(micro.archive(), lambda name: name.endswith("/dropbear"))
    vx.xhyvefile(box_of(vx, micro.kernel, initrd))

    failed = failing_up(vx, "there is no sshd")

    is_explained(
        vx, failed, "no-sshd", stage="sshd", reached="network",
        line="vx: failed: there is no sshd", hint="enable openssh-server",
    )  # fmt: skip


def test_an_sshd_with_another_host_key(vx: Vx, micro: Parts) -> None:
    other = keys.generate("other")
    initrd = brokenguests.with_more(
        micro.archive(),
        cpio.file("etc/vx/other", keys.dropbear_private(other.private), mode=0o600),
        start_script(f"cp /etc/vx/other /etc/vx/seed/dropbear_ed25519_host_key\n{FIRST_BOOT}"),
    )
    vx.xhyvefile(box_of(vx, micro.kernel, initrd))

    failed = failing_up(vx, "vx: ready ssh")

    is_explained(
        vx, failed, "host-key", stage="sshd", line="", hint="vx destroy", by_log=False,
    )  # fmt: skip


def test_an_sshd_that_knows_another_key_of_the_user(vx: Vx, micro: Parts) -> None:
    other = keys.generate("other").public
    initrd = brokenguests.with_more(
        micro.archive(),
        start_script(f"echo '{other}' >/etc/vx/seed/authorized_keys\n{FIRST_BOOT}"),
    )
    vx.xhyvefile(box_of(vx, micro.kernel, initrd))

    failed = failing_up(vx, "vx: ready ssh")

    is_explained(
        vx, failed, "login-refused", stage="login", reached="sshd",
        line="vx: ready ssh", hint="`ssh.user`", by_log=False,
    )  # fmt: skip


def test_a_disk_too_small_for_what_goes_onto_it(vx: Vx) -> None:
    vx.xhyvefile('box = "micro"\ndisk = "16MiB"\n[qemu]\naccel = "tcg"\n')

    failed = failing_up(vx, "No space left on device")

    is_explained(
        vx, failed, "disk-full", stage="root device",
        line="No space left on device", hint="a bigger disk",
    )  # fmt: skip


def test_too_little_memory_for_the_initrd(vx: Vx, debian: Parts) -> None:
    settings = box_of(vx, debian.kernel, debian.archive(), cmdline="console=ttyS0 root=/dev/vda1")
    vx.xhyvefile(settings.replace('"256MiB"', '"128MiB"'))

    failed = failing_up(vx, "Out of memory")

    is_explained(
        vx, failed, "out-of-memory", stage="initrd", line="Out of memory", hint="`memory =",
    )  # fmt: skip


def test_an_initrd_made_for_another_kernel(vx: Vx, micro: Parts) -> None:
    archive = micro.archive()
    initrd = brokenguests.of_another_release(archive, brokenguests.release_of(archive))
    vx.xhyvefile(box_of(vx, micro.kernel, initrd))

    failed = failing_up(vx, "vx: failed: ")

    is_explained(
        vx, failed, "modules-mismatch", stage="root device", reached="initrd",
        line="modprobe: ", hint="the initrd that was made for it",
    )  # fmt: skip


# --- and others that one meets ---------------------------------------------------------------


def test_a_debian_without_sshd_shows_a_login_and_nobody_answers(vx: Vx, debian: Parts) -> None:
    """Its own disk, and systemd's and agetty's own words; on an idle host it takes half a minute."""
    disk = images.open_images().debian()
    words = "systemd.mask=ssh.service cloud-init=disabled"
    vx.xhyvefile(
        f'memory = "512MiB"\nbox = {{ disk = "{disk}", user = "debian", seed = "cloud-init" }}\n'
        f'[qemu]\naccel = "tcg"\n[boot]\ncmdline = "{words}"\n'
    )

    failed = failing_up(vx, "localhost login: ")

    is_explained(
        vx, failed, "no-sshd", stage="sshd", reached="login",
        line="localhost login:", hint="enable openssh-server", by_log=False,
    )  # fmt: skip


def test_a_guest_that_hangs_is_given_up_when_its_console_was_quiet_for_so_long(
    vx: Vx, micro: Parts
) -> None:
    initrd = brokenguests.with_more(
        micro.archive(), start_script("echo waiting for nothing\nsleep 1000\n")
    )
    more = f'[boot]\nstall = "{STALL_S:g}s"\n'
    vx.xhyvefile(box_of(vx, micro.kernel, initrd, more=more))

    failed = failing_up(vx, "waiting for nothing")

    error = failed.error
    assert "waiting for nothing" in error["console"], error
    assert explained(vx)[0] == explained(vx, "--serial", failed.console)[0] == error["cause"]
    assert error["cause"] == "stalled", error
    assert guests_of(vx) == []
    assert STALL_S <= failed.seconds < STALL_S + SOON_S


def test_a_guest_that_reboots_over_and_over(vx: Vx, micro: Parts) -> None:
    initrd = brokenguests.with_more(
        micro.archive(),
        cpio.file("init", b"#!/bin/sh\nexec /usr/bin/busybox reboot -f\n", mode=0o755),
    )
    vx.xhyvefile(box_of(vx, micro.kernel, initrd))

    failed = failing_up(vx, "reboot: Restarting system")

    assert failed.error["cause"] == "reboot-loop"
    assert explained(vx)[0] == explained(vx, "--serial", failed.console)[0] == "reboot-loop"
    assert guests_of(vx) == []
