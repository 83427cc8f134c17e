"""The stand-in for vfkit does what vfkit is known to do; its guest is acted."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.applevz.install import install
from tests.fakes.hyve.trying import bzimage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HANG_S = 30.0


def wait_for(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_S
    while not check():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


class Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("vfkit", timeout=HANG_S)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


@dataclass
class Vfkit:
    home: Path

    def __post_init__(self) -> None:
        self.program = install(self.home / "bin")
        (self.home / "vmlinuz").write_bytes(bzimage())
        (self.home / "disk").write_bytes(bytes(1 << 16))
        self.log = self.home / "console.log"
        self.socket = self.home / "r.sock"
        self.started: list[subprocess.Popen[bytes]] = []

    def words(self, cmdline: str = "console=hvc0") -> list[str]:
        return [
            "--bootloader", f'linux,kernel={self.home}/vmlinuz,cmdline="{cmdline}"',
            "--device", f"virtio-serial,logFilePath={self.log}",
            "--restful-uri", f"unix://{self.socket}",
        ]  # fmt: skip

    def env(self, script: str, extra: dict[str, str]) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "FAKE_VFKIT_STATE": str(self.home / "state"),
            "FAKE_VFKIT_BOOT": "0",
            "FAKE_VFKIT_SCRIPT": script,
            **extra,
        }

    def run(
        self, *words: str, script: str = "poweroff", **extra: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *words], env=self.env(script, extra), cwd=self.home,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANG_S,
        )  # fmt: skip

    def start(self, script: str, **extra: str) -> subprocess.Popen[bytes]:
        """Returns once it answers."""
        process = subprocess.Popen(
            [self.program, *self.words()], env=self.env(script, extra), cwd=self.home,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.started.append(process)
        wait_for(self.socket.exists)
        wait_for(lambda: self.ask("GET")[1]["state"].endswith("Running"))
        return process

    def ask(self, method: str, body: str | None = None) -> tuple[int, Any]:
        connection = Unix(self.socket)
        try:
            connection.request(method, "/vm/state", body=body)
            answer = connection.getresponse()
            raw = answer.read()
            return answer.status, json.loads(raw) if raw else None
        finally:
            connection.close()

    def change(self, state: str) -> int:
        return self.ask("POST", json.dumps({"state": state}))[0]


@pytest.fixture
def vfkit(tmp_path: Path) -> Iterator[Vfkit]:
    double = Vfkit(tmp_path)
    yield double
    for process in double.started:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bogus"], "unknown flag: --bogus"),
        (["-z"], "unknown shorthand flag: 'z' in -z"),
        (["--log-level", "all"], "unknown log level: all"),
        (["--cpus"], "flag needs an argument: --cpus"),
        (["--memory", "1G"], 'invalid argument "1G" for "-m, --memory" flag'),
        ([], "empty option list in --bootloader command line argument"),
        (["--bootloader", "grub"], "unknown bootloader type: grub"),
        (["--bootloader", "linux,root=/"], "unknown option for linux bootloaders: root"),
        (["--bootloader", 'linux,cmdline="a'], 'mismatched "'),
        (["--kernel", "/k"], "they must all be set; missing [initrd kernel-cmdline]"),
        (["--bootloader", "efi", "--device", "virtio-disk"], "unknown device type: virtio-disk"),
        (
            ["--bootloader", "efi", "--device", "virtio-blk,path=/a,b"],
            "unknown option for virtio-blk devices: b",
        ),
        (["--bootloader", "efi", "--device", "virtio-net"], "one of 'nat' or 'fd' or"),
        (["--bootloader", "efi", "--device", "virtio-net,nat,mac=1:2"], "invalid MAC address"),
        (["--bootloader", "linux,kernel=/none"], "open /none: no such file or directory"),
        (["--bootloader", "efi", "--restful-uri", "unix://"], "invalid unix uri: missing path"),
    ],
)
def test_a_wrong_command_line_ends_with_status_1_and_says_why(
    vfkit: Vfkit, words: list[str], said: str
) -> None:
    done = vfkit.run(*words)

    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_its_version_is_on_stdout(vfkit: Vfkit) -> None:
    assert vfkit.run("--version").stdout.startswith("vfkit version: v")


def test_it_tells_of_its_work_unless_only_errors_are_wanted(vfkit: Vfkit) -> None:
    assert 'level=info msg="virtual machine parameters:"' in vfkit.run(*vfkit.words()).stderr
    assert vfkit.run(*vfkit.words(), "--log-level", "error").stderr == ""


def test_a_qcow2_disk_is_refused(vfkit: Vfkit) -> None:
    (vfkit.home / "disk").write_bytes(b"QFI\xfb" + bytes(512))

    done = vfkit.run(*vfkit.words(), "--device", f"virtio-blk,path={vfkit.home}/disk")

    assert (done.returncode, "does not support qcow2" in done.stderr) == (1, True)


def test_apple_silicon_takes_no_bzimage(vfkit: Vfkit) -> None:
    done = vfkit.run(*vfkit.words(), FAKE_VFKIT_ARCH="arm64")

    assert done.returncode == 1
    assert f"kernel must be uncompressed, {vfkit.home}/vmlinuz is a compressed file" in done.stderr


def test_power_off_is_status_0_and_the_log_begins_anew(vfkit: Vfkit) -> None:
    vfkit.log.write_text("of an earlier start\n")

    done = vfkit.run(*vfkit.words(), script="say@0:hello; poweroff@0.1")

    assert done.returncode == 0
    assert vfkit.log.read_bytes().startswith(b"hello\r\n")
    assert not vfkit.socket.exists()


def test_a_guest_whose_last_console_is_another_is_not_heard(vfkit: Vfkit) -> None:
    vfkit.run(*vfkit.words("console=hvc0 console=ttyS0"), script="say@0:hello; poweroff@0.1")

    assert vfkit.log.read_bytes() == b""


def test_a_reboot_stays_inside(vfkit: Vfkit) -> None:
    process = vfkit.start("say@0:hello; reboot@0.1")

    wait_for(lambda: vfkit.log.read_bytes().count(b"hello") > 1)

    assert process.poll() is None


def test_the_service_tells_states_and_takes_only_those_it_knows(vfkit: Vfkit) -> None:
    vfkit.start("deaf@0")

    assert vfkit.ask("GET")[1]["state"] == "VirtualMachineStateRunning"
    assert vfkit.ask("POST", "nonsense")[0] == 400
    assert vfkit.change("Explode") == 500
    assert vfkit.change("Pause") == 202
    assert vfkit.ask("GET")[1]["state"] == "VirtualMachineStatePaused"
    assert vfkit.change("Pause") == 500


def test_stop_is_a_button_which_a_guest_may_ignore(vfkit: Vfkit) -> None:
    process = vfkit.start("deaf@0")

    assert vfkit.change("Stop") == 202

    time.sleep(0.3)
    assert process.poll() is None
    assert vfkit.change("HardStop") == 202
    assert process.wait(HANG_S) == 0


def test_a_guest_that_heeds_its_button_powers_off(vfkit: Vfkit) -> None:
    process = vfkit.start("acpi@0; say@0.01:up")
    wait_for(lambda: b"up" in vfkit.log.read_bytes())

    assert vfkit.change("Stop") == 202

    assert process.wait(HANG_S) == 0


def test_hard_stop_can_fail(vfkit: Vfkit) -> None:
    process = vfkit.start("deaf@0", FAKE_VFKIT_FAIL="hardstop")

    assert vfkit.change("HardStop") == 500
    assert process.poll() is None


def test_sigterm_is_the_button_and_force_after_five_seconds(vfkit: Vfkit) -> None:
    process = vfkit.start("deaf@0")
    began = time.monotonic()

    process.send_signal(signal.SIGTERM)

    assert process.wait(HANG_S) == 1
    assert time.monotonic() - began >= 5


def test_a_socket_that_is_there_already_ends_it(vfkit: Vfkit) -> None:
    vfkit.socket.touch()

    done = vfkit.run(*vfkit.words())

    assert (done.returncode, "address already in use" in done.stderr) == (1, True)
