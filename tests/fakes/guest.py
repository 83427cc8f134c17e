"""A micro guest started by hand: QEMU without vx, logged into with plain ssh."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.model import ArtifactKind
from vagrantish.seed.initrd import write_initrd
from vagrantish.seed.overlay import SeedData, entries
from vagrantish.ssh import keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.model import Box

READY = "vx: ready ssh"
BOOT_TIMEOUT_S = 90
MISSING = next((p for p in ("qemu-system-x86_64", "ssh") if shutil.which(p) is None), None)


@dataclass
class Guest:
    folder: Path
    box: Box
    disk: Path | None = None
    qemu: subprocess.Popen[bytes] | None = None
    port: int = 0
    nic: bool = True

    @property
    def console(self) -> str:
        path = self.folder / "console.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def seed(self, *, hostname: str = "web-1") -> None:
        """Make keys and the initrd, as vx does when it makes a machine."""
        user, host = keys.generate("user"), keys.generate("host")
        (self.folder / "id").write_bytes(user.private)
        (self.folder / "id").chmod(0o600)
        (self.folder / "known_hosts").write_text(f"guest {host.public}\n")
        data = SeedData(
            hostname=hostname,
            user=self.box.user,
            authorized_keys=(user.public,),
            host_key=host.private,
            host_key_public=host.public,
            dropbear_host_key=keys.dropbear_private(host.private),
            instance_id="test",
        )
        box_initrd = self.box.artifacts[ArtifactKind.INITRD].path
        write_initrd(box_initrd, entries(data), self.folder / "initrd")

    def start(self, *, until: str = READY) -> None:
        """Boot and wait for a line on the console."""
        (self.folder / "console.log").unlink(missing_ok=True)
        self.qemu = subprocess.Popen(self._argv(), cwd=self.folder, stdin=subprocess.DEVNULL)
        self.wait_for(until)
        if self.nic:
            self.port = self._forwarded_port()
            self._write_ssh_config()

    def wait_for(self, text: str, *, timeout_s: float = BOOT_TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while text not in self.console:
            assert self.qemu is not None
            assert self.qemu.poll() is None, f"the guest ended:\n{self.console[-2000:]}"
            assert time.monotonic() < deadline, f'no "{text}":\n{self.console[-2000:]}'
            time.sleep(0.02)

    def ssh(self, command: str, *options: str, check: bool = True) -> str:
        """What the command wrote; it must succeed, and the host key must be the seeded one."""
        done = subprocess.run(
            ["ssh", "-F", self.folder / "ssh_config", *options, "guest", command],
            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert not check or done.returncode == 0, (command, done)
        return done.stdout

    def qmp(self, *commands: str) -> list[str]:
        """Send QMP or, where there is a space, HMP commands; answers the last result's lines."""
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(self.folder / "qmp"))
            with link.makefile("rw") as stream:
                stream.readline()
                answer = ""
                for command in ("qmp_capabilities", *commands):
                    message: dict[str, object] = {"execute": command}
                    if " " in command:
                        line = {"command-line": command}
                        message = {"execute": "human-monitor-command", "arguments": line}
                    stream.write(json.dumps(message) + "\n")
                    stream.flush()
                    while "return" not in (reply := json.loads(stream.readline())):
                        assert "error" not in reply, reply
                    answer = str(reply["return"])
        return answer.splitlines()

    def ended_after(self, *, timeout_s: float = 30) -> float:
        """Seconds until QEMU ended by itself."""
        assert self.qemu is not None
        started = time.monotonic()
        assert self.qemu.wait(timeout_s) == 0
        return time.monotonic() - started

    def kill(self) -> None:
        """As a power cut does it."""
        if self.qemu is not None:
            self.qemu.kill()
            self.qemu.wait()

    def _argv(self) -> list[str]:
        nic = ("-netdev", "user,id=n0,hostfwd=tcp:127.0.0.1:0-:22",
               "-device", "virtio-net-pci,netdev=n0")  # fmt: skip
        disk = ("-drive", f"if=none,id=d0,format=raw,file={self.disk}",
                "-device", "virtio-blk-pci,drive=d0,serial=vx-root")  # fmt: skip
        return [
            "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "qemu64",
            "-m", "256", "-nodefaults", "-display", "none", "-no-reboot",
            "-kernel", str(self.box.artifacts[ArtifactKind.KERNEL].path),
            "-initrd", "initrd", "-append", self.box.cmdline,
            "-device", "virtio-rng-pci",
            "-chardev", "socket,id=con,path=con,server=on,wait=off,logfile=console.log",
            "-serial", "chardev:con", "-qmp", "unix:qmp,server=on,wait=off",
            *(nic if self.nic else ()), *(disk if self.disk else ()),
        ]  # fmt: skip

    def _forwarded_port(self) -> int:
        row = next(line for line in self.qmp("info usernet") if "HOST_FORWARD" in line)
        return int(row.split()[3])

    def _write_ssh_config(self) -> None:
        (self.folder / "ssh_config").write_text(
            f"Host guest\n HostName 127.0.0.1\n Port {self.port}\n User {self.box.user}\n"
            f" IdentityFile {shlex.quote(str(self.folder / 'id'))}\n IdentitiesOnly yes\n"
            f" UserKnownHostsFile {shlex.quote(str(self.folder / 'known_hosts'))}\n"
            " HostKeyAlias guest\n StrictHostKeyChecking yes\n BatchMode yes\n"
            " ConnectTimeout 20\n"
        )


@contextmanager
def guest_of(
    box: Box, folder: Path, *, disk: Path | None = None, nic: bool = True
) -> Iterator[Guest]:
    """A seeded guest, not yet started; it does not outlive the block."""
    guest = Guest(folder=folder, box=box, disk=disk, nic=nic)
    guest.seed()
    try:
        yield guest
    finally:
        guest.kill()
