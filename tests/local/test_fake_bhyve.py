"""The stand-ins for bhyve and its company do what those are known to do; guests are acted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.fakes.beehive.install import install
from tests.fakes.beehive.leases import as_dnsmasq
from tests.fakes.hyve.trying import await_bytes, bzimage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HANG_S = 30.0
RUN = ["-c", "1", "-m", "64M", "-A", "-s", "0,hostbridge", "-s", "31,lpc", "-l", "com1,stdio"]


def wait_for(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_S
    while not check():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


@dataclass
class FreeBsd:
    home: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        install(self.home / "bin")
        (self.home / "vmlinuz").write_bytes(bzimage())

    def env(self, script: str, extra: dict[str, str]) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "FAKE_BHYVE_STATE": str(self.home / "state"),
            "FAKE_BHYVE_ROOT": "1",
            "FAKE_BHYVE_BOOT": "0",
            "FAKE_BHYVE_SCRIPT": script,
            **extra,
        }

    def run(
        self, program: str, *words: str, script: str = "poweroff", **extra: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.home / "bin" / program, *words], env=self.env(script, extra), cwd=self.home,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANG_S,
        )  # fmt: skip

    def start(self, *words: str, script: str, stdin: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [self.home / "bin" / "bhyve", *words], env=self.env(script, {}), cwd=self.home,
            stdin=stdin, stdout=stdin, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.started.append(process)
        return process

    def load(
        self, name: str = "vm", *options: str, memory: str = "64M", config: str = ""
    ) -> subprocess.CompletedProcess[str]:
        text = config or f"linux '(host){self.home}/vmlinuz' 'console=ttyS0'\nboot\nexit\n"
        (self.home / "grub.cfg").write_text(text)
        return self.run(
            "grub-bhyve", "-r", "host", "-d", str(self.home), "-M", memory, *options, name
        )

    def vm(self, name: str = "vm") -> dict[str, object]:
        found: dict[str, object] = json.loads((self.home / "state/vmm" / name).read_text())
        return found


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FreeBsd]:
    host = FreeBsd(tmp_path)
    yield host
    for process in host.started:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("script", "status"), [("reboot", 0), ("poweroff", 1), ("halt", 2), ("die", 3)]
)
def test_the_guests_end_is_the_exit_status(host: FreeBsd, script: str, status: int) -> None:
    host.load()

    assert host.run("bhyve", *RUN, "vm", script=script).returncode == status


def test_a_machine_outlives_bhyve_and_is_destroyed_by_bhyvectl(host: FreeBsd) -> None:
    host.load()
    host.run("bhyve", *RUN, "vm")

    assert host.vm()["ran"] is True
    assert host.run("bhyvectl", "--vm=vm", "--destroy").returncode == 0
    done = host.run("bhyvectl", "--vm=vm", "--destroy")
    assert (done.returncode, done.stderr) == (1, "VM:vm is not created.\n")


def test_one_that_ran_must_be_loaded_again(host: FreeBsd) -> None:
    host.load()
    host.run("bhyve", *RUN, "vm", script="reboot")

    assert host.run("bhyve", *RUN, "vm").returncode == 4
    host.load()
    assert host.run("bhyve", *RUN, "vm").returncode == 1


def test_what_was_never_loaded_cannot_be_booted(host: FreeBsd) -> None:
    done = host.run("bhyve", *RUN, "vm")

    assert (done.returncode, done.stderr) == (4, "virtual machine cannot be booted\n")


def test_loader_and_bhyve_must_name_the_same_memory(host: FreeBsd) -> None:
    host.load(memory="128M")

    done = host.run("bhyve", *RUN, "vm")

    assert (done.returncode, done.stderr) == (4, "Unable to setup memory (22)\n")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["-z", "vm"], 1, "illegal option -- z"),
        ([], 1, "Usage: bhyve"),
        (["-Y", "vm", "more"], 1, "Usage: bhyve"),
        (["-c", "0", "vm"], 4, "Invalid value for cpus: '0'"),
        (["-c", "cores=1,x=2", "vm"], 64, "invalid cpu topology"),
        (["-m", "1.5G", "vm"], 64, "invalid memsize '1.5G'"),
        (["-s", "32,lpc", "vm"], 4, "Invalid PCI slot info field"),
        (["-s", "2,virtio-vpnkit", "vm"], 4, 'unknown device "virtio-vpnkit"'),
        (["-s", "2,dummy", "-s", "2:0,dummy", "vm"], 4, "already occupied!"),
        (["-l", "com9,stdio", "vm"], 64, "invalid lpc device configuration"),
        (["-m", "64M", "-s", "4,virtio-blk,/no/disk", "vm"], 4, "Could not open backing file"),
        (["-m", "64M", "-s", "4,virtio-blk,/dev/null,x", "vm"], 4, 'Invalid device option "x"'),
        (["-m", "64M", "-s", "2,virtio-net,tap9", "vm"], 4, "open of tap device /dev/tap9 failed"),
        (["-m", "64M", "-l", "bootrom,/no/rom", "vm"], 4, 'Error opening bootrom "/no/rom"'),
    ],
)
def test_a_wrong_command_line_is_refused(
    host: FreeBsd, words: list[str], status: int, said: str
) -> None:
    host.load()

    done = host.run("bhyve", *words)

    assert done.returncode == status
    assert said in done.stderr


def test_only_root_makes_machines(host: FreeBsd) -> None:
    done = host.run("grub-bhyve", "vm", FAKE_BHYVE_ROOT="0")

    assert (done.returncode, "Could not create VM vm" in done.stderr) == (1, True)


def test_grub_reads_what_is_quoted_and_adds_a_console_unless_told_not_to(host: FreeBsd) -> None:
    config = f"linux '(host){host.home}/vmlinuz' 'a=1 2' b\nboot\n"

    host.load("one", config=config)
    host.load("two", "-n", config=config)

    assert host.vm("one")["cmdline"] == 'console=ttyS0 "a=1 2" b'
    assert host.vm("two")["cmdline"] == '"a=1 2" b'


def test_grub_ends_where_it_is_told_to_after_a_boot_that_failed(host: FreeBsd) -> None:
    done = host.load(config="linux '(host)/no/kernel'\nboot\nexit\n")

    assert done.returncode == 1
    assert "can't open `/no/kernel'" in done.stderr
    assert "you need to load the kernel first" in done.stderr


def test_bhyveload_wants_a_disk_it_can_write(host: FreeBsd) -> None:
    done = host.run("bhyveload", "-m", "64M", "-d", "/no/disk", "vm")
    assert (done.returncode, done.stderr) == (64, "bhyveload: Could not open '/no/disk'\n")

    (host.home / "disk").write_bytes(b"")
    host.run("bhyveload", "-m", "64M", "-d", str(host.home / "disk"), "-e", "a=b", "vm")
    assert (host.vm()["loader"], host.vm()["cmdline"]) == ("bhyveload", "a=b")


def test_the_console_is_read_from_stdin_and_written_to_stdout(host: FreeBsd) -> None:
    host.load()
    master, slave = os.openpty()

    host.start(*RUN, "vm", script="echo@0; say@0.05:hello", stdin=slave)

    assert b"hello\r\n" in await_bytes(master, b"hello\r\n")
    os.write(master, b"ping")
    assert b"ping" in await_bytes(master, b"ping")
    os.close(slave)
    os.close(master)


def test_sigterm_is_the_power_button_once_the_guest_handles_it(host: FreeBsd) -> None:
    host.load()
    master, slave = os.openpty()
    process = host.start(*RUN, "vm", script="acpi@0; say@0.05:up", stdin=slave)
    await_bytes(master, b"up")

    process.send_signal(signal.SIGTERM)

    assert process.wait(HANG_S) == 1
    os.close(slave)
    os.close(master)


def test_bhyvectl_cuts_the_power(host: FreeBsd) -> None:
    host.load()
    master, slave = os.openpty()
    process = host.start(*RUN, "vm", script="deaf@0; say@0.05:up", stdin=slave)
    await_bytes(master, b"up")

    host.run("bhyvectl", "--vm=vm", "--force-poweroff")

    assert process.wait(HANG_S) == 1
    os.close(slave)
    os.close(master)


def test_interfaces_are_made_joined_and_destroyed(host: FreeBsd) -> None:
    assert host.run("ifconfig", "tap7").returncode == 1
    assert host.run("ifconfig", "tap7", "create").returncode == 0
    assert "File exists" in host.run("ifconfig", "tap7", "create").stderr
    assert host.run("ifconfig", "tap", "create").stdout == "tap0\n"
    assert host.run("ifconfig", "bridge0", "addm", "tap7", "up").returncode == 0
    assert "File exists" in host.run("ifconfig", "bridge0", "addm", "tap7").stderr
    assert host.run("ifconfig", "-l").stdout.split() == ["lo0", "bridge0", "tap7", "tap0"]
    assert host.run("ifconfig", "tap7", "destroy").returncode == 0
    assert host.run("ifconfig", "tap7", "destroy").returncode == 1


def test_only_one_guest_has_a_tap_at_a_time(host: FreeBsd) -> None:
    host.load("one")
    host.load("two")
    host.run("ifconfig", "tap7", "create")
    words = [*RUN, "-s", "2,virtio-net,tap7"]
    master, slave = os.openpty()
    host.start(*words, "one", script="deaf@0; say@0.05:up", stdin=slave)
    await_bytes(master, b"up")

    assert "Opened by PID" in host.run("ifconfig", "tap7").stdout
    assert host.run("bhyve", *words, "two").returncode == 4
    os.close(slave)
    os.close(master)


def test_leases_are_those_of_dnsmasq() -> None:
    text = (
        "{\n\tname=web\n\tip_address=127.64.1.2\n\thw_address=1,58:9c:fc:a:0:7\n\tlease=0x10\n}\n"
    )

    assert as_dnsmasq(text) == "16 58:9c:fc:0a:00:07 127.64.1.2 web 01:58:9c:fc:0a:00:07\n"
