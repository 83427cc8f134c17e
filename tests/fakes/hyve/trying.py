"""For tests: the double in a folder of its own, and a kernel it can load."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fakes.hyve.install import install
from tests.fakes.hyve.model import Flavour

if TYPE_CHECKING:
    from pathlib import Path

_HANG_S = 30.0


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str


def bzimage(
    *,
    size: int = 0x3000,
    setup_sects: int = 4,
    boot_flag: int = 0xAA55,
    magic: bytes = b"HdrS",
    version: int = 0x020D,
    loadflags: int = 1,
    initrd_max: int = 0x7FFFFFFF,
    alignment: int = 16 << 20,
    relocatable: int = 1,
    cmdline_size: int = 2047,
    pref_address: int = 1 << 24,
    init_size: int = 1 << 20,
    syssize: int | None = None,
) -> bytes:
    """The header of a Linux kernel, and zeros (Documentation/arch/x86/boot.rst)."""
    image = bytearray(size)
    payload = size - (setup_sects + 1) * 512
    struct.pack_into("<B", image, 0x1F1, setup_sects)
    struct.pack_into("<I", image, 0x1F4, payload // 16 if syssize is None else syssize)
    struct.pack_into("<H", image, 0x1FE, boot_flag)
    image[0x202:0x206] = magic
    struct.pack_into("<H", image, 0x206, version)
    struct.pack_into("<B", image, 0x211, loadflags)
    struct.pack_into("<II", image, 0x22C, initrd_max, alignment)
    struct.pack_into("<B", image, 0x234, relocatable)
    struct.pack_into("<I", image, 0x238, cmdline_size)
    struct.pack_into("<Q", image, 0x258, pref_address)
    struct.pack_into("<I", image, 0x260, init_size)
    return bytes(image)


@dataclass
class Double:
    """Boots no guest: it follows a script."""

    home: Path
    flavour: Flavour = Flavour.HEAD
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        name = "hyperkit" if self.flavour is Flavour.HYPERKIT else "xhyve"
        self.program = install(self.home / "bin", name)
        self.kernel = self.home / "vmlinuz"
        self.kernel.write_bytes(bzimage())
        self.pid_file = self.home / "pid"

    @property
    def boots(self) -> list[str]:
        """A firmware option that loads."""
        return ["-f", f"kexec,{self.kernel},,"]

    def environment(self, script: str = "poweroff", **extra: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "FAKE_XHYVE_FLAVOUR": self.flavour,
            "FAKE_XHYVE_STATE": str(self.home / "state"),
            "FAKE_XHYVE_ROOT": "1",
            "FAKE_XHYVE_BOOT": "0",
            "FAKE_XHYVE_SCRIPT": script,
            **extra,
        }

    def run(self, *words: str, script: str = "poweroff", **extra: str) -> Ran:
        done = subprocess.run(
            [self.program, *words],
            env=self.environment(script, **extra),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_HANG_S,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(
        self,
        *words: str,
        script: str,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
        **extra: str,
    ) -> subprocess.Popen[bytes]:
        """stdout and stderr are the files ``out`` and ``err`` when nobody says."""
        with (self.home / "out").open("wb") as out, (self.home / "err").open("wb") as err:
            started = subprocess.Popen(
                [self.program, *words],
                env=self.environment(script, **extra),
                cwd=self.home,
                stdin=stdin,
                stdout=out if stdout is None else stdout,
                stderr=err,
                start_new_session=True,
            )
        self._started.append(started)
        return started

    def close(self) -> None:
        for started in self._started:
            started.kill()
            started.wait()


def await_file(path: Path) -> str:
    """What stands in it, once something does."""
    deadline = time.monotonic() + _HANG_S
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text(encoding="utf-8")):
            return text
        time.sleep(0.01)
    raise TimeoutError(f"nothing in {path}")


def await_bytes(fd: int, wanted: bytes) -> bytes:
    """Reads from a terminal or a pipe until that has come, or the other end is gone."""
    os.set_blocking(fd, False)
    seen = b""
    deadline = time.monotonic() + _HANG_S
    while wanted not in seen and time.monotonic() < deadline:
        try:
            seen += os.read(fd, 4096)
        except BlockingIOError:
            time.sleep(0.005)
        except OSError:
            break
    return seen
