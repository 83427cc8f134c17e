"""A guest with a disk started by hand: QEMU, a seed written by hand, the OpenSSH client knocking.

As a program it shows how long the test images take: scripts/bench_guests.py [SHAPE...].
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KNOCK_EVERY_S = 0.2
GIVE_UP_S = 300.0  # a first boot took 122 s on a busy computer
# As the guests of test-images are known to run; a caller who compares gives vx's own.
MACHINE = (
    "-accel", "tcg,tb-size=128", "-machine", "q35", "-cpu", "max", "-m", "1024", "-smp", "2",
)  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """What a guest is started from."""

    disk: Path  # qcow2, never written
    kernel: Path
    initrd: Path
    cmdline: str
    user: str
    key: Path | None = None  # opens the account already: no seed is attached then


@dataclass(frozen=True)
class Times:
    ssh_s: float  # from QEMU's start to the end of the first ``ssh true``
    done_s: float  # to the end of cloud-init; the same where there is no cloud-init
    status: str  # what cloud-init says of itself


class HandGuest:
    """One machine in ``folder``: an overlay on the disk, and a seed that only adds a user."""

    def __init__(self, folder: Path, parts: Parts, machine: Sequence[str] = MACHINE) -> None:
        self.folder, self.parts, self.machine = folder, parts, machine
        self.qemu: subprocess.Popen[bytes] | None = None
        self.port = 0
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", parts.disk.resolve(),
             self.overlay],
            check=True,
        )  # fmt: skip
        if parts.key is None:
            self._write_seed()

    @property
    def overlay(self) -> Path:
        return self.folder / "overlay.qcow2"

    @property
    def key(self) -> Path:
        return self.parts.key or self.folder / "key"

    @property
    def console(self) -> str:
        return (self.folder / "console.log").read_text("utf-8", "replace")

    def boot(self) -> Times:
        """Start, wait for the first command over ssh and for cloud-init's end."""
        began = time.monotonic()
        self.start()
        while self._try("true") is None:
            assert self.qemu is not None
            assert self.qemu.poll() is None, f"QEMU ended:\n{self.console[-3000:]}"
            assert time.monotonic() - began < GIVE_UP_S, f"no ssh:\n{self.console[-3000:]}"
            time.sleep(KNOCK_EVERY_S)
        ssh_s = time.monotonic() - began
        if self.parts.key is not None:
            return Times(ssh_s, ssh_s, "none")
        status = self.ssh("cloud-init status --wait || true").strip(".\n ")
        return Times(ssh_s, time.monotonic() - began, status)

    def start(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        forward = f"user,id=n0,hostfwd=tcp:127.0.0.1:{self.port}-:22"
        drives = [("root", f"file={self.overlay},format=qcow2")]
        if self.parts.key is None:
            drives.append(("seed", f"file={self.folder / 'seed.iso'},format=raw,read-only=on"))
        command: list[str | Path] = [
            "qemu-system-x86_64", *self.machine, "-nodefaults", "-display", "none",
            "-kernel", self.parts.kernel, "-initrd", self.parts.initrd,
            "-append", self.parts.cmdline,
            "-netdev", forward, "-device", "virtio-net-pci,netdev=n0",
            "-device", "virtio-rng-pci", "-serial", f"file:{self.folder / 'console.log'}",
        ]  # fmt: skip
        for name, drive in drives:
            command += [
                "-drive",
                f"if=none,id={name},{drive}",
                "-device",
                f"virtio-blk-pci,drive={name}",
            ]
        self.qemu = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL)

    def ssh(self, command: str) -> str:
        said = self._try(command, timeout_s=GIVE_UP_S)
        assert said is not None, f"{command!r} failed in the guest"
        return said

    def _try(self, command: str, *, timeout_s: float = 60) -> str | None:
        options = (
            "BatchMode=yes", "ConnectTimeout=30", "IdentitiesOnly=yes", f"IdentityFile={self.key}",
            "LogLevel=ERROR", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null",
        )  # fmt: skip
        words = [word for option in options for word in ("-o", option)]
        login = ["-p", str(self.port), f"{self.parts.user}@127.0.0.1"]
        try:
            done = subprocess.run(
                ["ssh", "-F", "none", *words, *login, command],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None
        return done.stdout if done.returncode == 0 else None

    def power_off(self) -> None:
        assert self.qemu is not None
        self._try("sudo systemctl poweroff")
        self.qemu.wait(120)

    def end(self) -> None:
        if self.qemu is not None and self.qemu.poll() is None:
            self.qemu.send_signal(signal.SIGTERM)
            self.qemu.wait(30)

    def _write_seed(self) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        public = self.key.with_suffix(".pub").read_text(encoding="ascii").strip()
        user = self.parts.user
        (self.folder / "user-data").write_text(
            f"#cloud-config\nusers:\n- name: {user}\n  shell: /bin/bash\n"
            f"  sudo: ALL=(ALL) NOPASSWD:ALL\n  ssh_authorized_keys:\n  - {public}\n",
            encoding="ascii",
        )
        (self.folder / "meta-data").write_text("instance-id: by-hand\n", encoding="ascii")
        subprocess.run(
            ["genisoimage", "-quiet", "-output", "seed.iso", "-volid", "cidata", "-joliet", "-rock",
             "user-data", "meta-data"],
            cwd=self.folder, check=True, capture_output=True,
        )  # fmt: skip


@contextlib.contextmanager
def hand_guest(parts: Parts, machine: Sequence[str] = MACHINE) -> Iterator[HandGuest]:
    with tempfile.TemporaryDirectory(prefix="vx-by-hand-") as folder:
        guest = HandGuest(Path(folder), parts, machine)
        try:
            yield guest
        finally:
            guest.end()


def first_and_later(parts: Parts, machine: Sequence[str] = MACHINE) -> tuple[Times, Times]:
    """The first boot of a new machine, and its second."""
    with hand_guest(parts, machine) as guest:
        first = guest.boot()
        guest.power_off()
        return first, guest.boot()


def parts_of(shape: str) -> Parts:
    """A test image with its kernel beside it, built first where it is not."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.fakes import images_text as text
    from tests.fakes.images import open_images

    images = open_images()
    root, key = images.root(), None
    if shape == "debian":
        disk, user, spec = images.debian(), "debian", f"PARTUUID={text.DEBIAN_PARTUUID}"
    elif shape == "ubuntu":
        disk, user, spec = images.ubuntu().disk, "ubuntu", "LABEL=cloudimg-rootfs"
    elif shape == "centos":
        disk, user, spec = images.centos(), "cloud-user", f"UUID={text.CENTOS_ROOT_UUID}"
    else:
        box = images.vagrant_box()
        disk, user, spec, key = _unboxed(box.box), "vagrant", "/dev/vda1", box.key
    return Parts(disk, root.kernel, root.initrd, f"root={spec} ro console=ttyS0", user, key)


def _unboxed(box: Path) -> Path:
    subprocess.run(["tar", "-xzf", box, "-C", box.parent, "box.img"], check=True)
    return box.parent / "box.img"


def main() -> None:
    os.umask(0o077)
    for shape in sys.argv[1:] or ("debian", "ubuntu", "centos", "vagrant"):
        first, later = first_and_later(parts_of(shape))
        print(f"{shape}: first {first}, later {later}", flush=True)


if __name__ == "__main__":
    main()
