"""The stand-in for xhyve with a real guest: what runs in it, how it ends, what it leaves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.fakes.guest import BOOT_TIMEOUT_S, MISSING, READY, Guest
from tests.fakes.hyve import net
from tests.fakes.hyve.install import install
from vagrantish.box.store import BoxStore
from vagrantish.model import ArtifactKind, BoxRef
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.model import Box

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(MISSING is not None, reason=f"needs {MISSING}"),
]

UUID = "8e4b2a10-1c9d-4f0a-9a3e-5b1f0c2d7e88"
MAC = "02:0a:00:1b:cf:32"
SSH_PORT = 22 if os.geteuid() == 0 else 20022
HANG_S = 60.0
USUAL = ("-A", "-u", "-U", UUID, "-m", "256M", "-s", "0:0,hostbridge", "-s", "31,lpc")


@dataclass
class Double:
    """One run after the other in a folder; the console is a terminal's, drained into ``said``."""

    folder: Path
    box: Box
    said: bytes = b""
    _run: subprocess.Popen[bytes] | None = None
    _drains: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        Guest(folder=self.folder, box=self.box).seed()
        self.state = self.folder / "state"
        self.state.mkdir()
        (self.state / net.MACS).write_text(f'{{"{UUID}": "{MAC}"}}')
        self.leases = self.state / "dhcpd_leases"
        self.address = f"{net.block_of(self.state)}.2"
        self.pid_file = self.folder / "pid"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._run is not None
        return self._run

    @property
    def errors(self) -> str:
        return (self.folder / "err").read_text()

    def start(self, *words: str, program: str = "xhyve", **environment: str) -> None:
        """The card is at 2:0, COM1 at the terminal."""
        self.said = b""
        kernel = self.box.artifacts[ArtifactKind.KERNEL].path
        firmware = f"kexec,{kernel},{self.folder / 'initrd'},{self.box.cmdline}"
        argv = [*words, "-s", "2:0,virtio-net", "-l", "com1,stdio", "-f", firmware]
        known = {"PATH": os.environ["PATH"], "FAKE_XHYVE_STATE": str(self.state)}
        known |= {"FAKE_XHYVE_ROOT": "1", "FAKE_XHYVE_SSH_PORT": str(SSH_PORT)}
        master, slave = os.openpty()
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            self._run = subprocess.Popen(
                [install(self.folder / "bin", program), "-F", self.pid_file, *argv],
                stdin=slave,
                stdout=out,
                stderr=err,
                env=known | environment,
                cwd=self.folder,
                start_new_session=True,
            )
        os.close(slave)
        self._drains.append(threading.Thread(target=self._drain, args=(master,)))
        self._drains[-1].start()

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        while text.encode() not in self.said:
            told = f"{self.said[-2000:].decode(errors='replace')}\n{self.errors}"
            assert self.process.poll() is None, f"the double ended:\n{told}"
            assert time.monotonic() < deadline, f'no "{text}":\n{told}'
            time.sleep(0.02)

    def boot(self, *words: str, program: str = "xhyve", **environment: str) -> None:
        self.start(*words, program=program, **environment)
        self.wait_for(READY)

    def ssh(self, command: str, *, check: bool = True) -> str:
        words: list[str | Path] = [
            "ssh", "-F", "none", "-i", self.folder / "id", "-p", str(SSH_PORT),
            "-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}", "-o", "HostKeyAlias=guest",
            "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20",
            "-o", "LogLevel=ERROR", f"{self.box.user}@{self.address}", command,
        ]  # fmt: skip
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANG_S
        )
        assert not check or done.returncode == 0, (command, done)
        return done.stdout

    def ends(self) -> int:
        """Its status. All that was on the console has been read then."""
        status = self.process.wait(HANG_S)
        for drain in self._drains:
            drain.join()
        return status

    def qemu(self) -> psutil.Process:
        """Once it is there: of the double's descendants the one of that name."""
        deadline = time.monotonic() + HANG_S
        while True:
            for child in psutil.Process(self.process.pid).children():
                if child.name().startswith("qemu-system"):
                    return child
            assert self.process.poll() is None, self.errors
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def await_port(self) -> None:
        """Bound by QEMU when it is about to run."""
        deadline = time.monotonic() + HANG_S
        while time.monotonic() < deadline:
            with socket.socket() as link:
                if link.connect_ex((self.address, SSH_PORT)) == 0:
                    return
            time.sleep(0.01)
        raise TimeoutError

    def close(self) -> None:
        if self._run is not None:
            self._run.kill()
            self.ends()

    def _drain(self, master: int) -> None:
        try:
            while data := os.read(master, 4096):
                self.said += data
        except OSError:  # nobody has the other end any more
            pass
        finally:
            os.close(master)


@pytest.fixture
def double(micro_store: Path, vx_home: Path) -> Iterator[Double]:
    box = BoxStore(VxHome(micro_store)).find(BoxRef(name="micro"), "x86_64")
    double = Double(vx_home, box)
    yield double
    double.close()


def test_a_guest_sees_its_devices_and_leaves_at_the_power_button(double: Double) -> None:
    for name in ("disk", "sealed"):
        (double.folder / name).write_bytes(name.encode().ljust(1 << 20))
    double.boot(
        *USUAL, "-s", f"4:0,virtio-blk,{double.folder / 'disk'}",
        "-s", f"4:1,virtio-blk,{double.folder / 'sealed'},ro",
        "-s", f"5,ahci-cd,{double.folder / 'disk'}", "-s", "6:1,virtio-rnd", "-s", "7,virtio-rnd",
        "-l", "com2,autopty",
    )  # fmt: skip

    _is_leased(double)
    _sits_where_it_was_put(double)
    _cannot_write_what_is_sealed(double)
    assert double.ssh("sudo grep -c '16550A' /proc/tty/driver/serial").strip() == "2"
    assert double.pid_file.read_text() == str(double.process.pid)

    double.process.send_signal(signal.SIGTERM)

    assert double.ends() == 1
    assert b"reboot: Power down" in double.said
    assert not double.pid_file.exists()
    assert double.errors == ""


def _is_leased(double: Double) -> None:
    lines = double.leases.read_text().splitlines()
    assert lines[1:5] == [
        "\tname=web-1", f"\tip_address={double.address}",
        "\thw_address=1,2:a:0:1b:cf:32", "\tidentifier=1,2:a:0:1b:cf:32",
    ]  # fmt: skip
    assert double.ssh("cat /sys/class/net/eth0/address").strip() == MAC
    assert " inet 192.168.64.2/24 " in double.ssh("ip addr show eth0")


def _sits_where_it_was_put(double: Double) -> None:
    folder = "/sys/bus/pci/devices"
    listed = double.ssh(f"cd {folder}; for d in *; do echo $d $(cat $d/vendor $d/device); done")
    devices = dict(line.split(" ", 1) for line in listed.replace("0000:00:", "").splitlines())
    assert devices.pop("05.0").startswith("0x8086 ")  # AHCI, of another make
    assert {place: ids for place, ids in devices.items() if "0x1af4" in ids} == {
        "02.0": "0x1af4 0x1000",
        "04.0": "0x1af4 0x1001",
        "04.1": "0x1af4 0x1001",
        "07.0": "0x1af4 0x1005",  # and none at 6:1, where function 0 is missing
    }
    assert double.ssh("cat /sys/class/dmi/id/product_name").strip() == "BHYVE"
    assert double.ssh("sudo cat /sys/class/dmi/id/product_uuid").strip() == UUID


def _cannot_write_what_is_sealed(double: Double) -> None:
    assert double.ssh("cat /sys/block/vdb/ro").strip() == "0"
    assert double.ssh("sudo head -c 6 /dev/vdb") == "sealed"
    write = "sudo dd if=/dev/zero of=/dev/vd{} bs=4096 count=1 conv=fsync 2>&1; true"
    assert "Input/output error" in double.ssh(write.format("b"))
    assert "error" not in double.ssh(write.format("a"))
    assert (double.folder / "sealed").read_bytes().startswith(b"sealed")
    assert (double.folder / "disk").read_bytes().startswith(bytes(4096))


def test_a_reboot_ends_it_and_a_lease_may_come_late_and_hidden(double: Double) -> None:
    double.boot(*USUAL, FAKE_XHYVE_FAIL="dup-lease,duid,late-lease=1")

    text = double.leases.read_text()
    assert f"ip_address={net.block_of(double.state)}.254\n\thw_address=1,2:a:0" in text
    while text.count("ip_address") < 2:
        time.sleep(0.05)
        text = double.leases.read_text()
    assert text.index("hw_address=ff,") < text.index("hw_address=1,2:a:0")
    double.ssh("sudo reboot", check=False)

    assert double.ends() == 0
    assert not double.pid_file.exists()


def test_a_halt_is_noticed(double: Double) -> None:
    double.boot(*USUAL, "-c", "2")

    double.ssh("sudo halt", check=False)

    assert double.ends() == 2


def test_without_acpi_a_poweroff_can_only_halt(double: Double) -> None:
    double.boot(*USUAL[1:])

    assert "acpi=off" in double.ssh("cat /proc/cmdline")
    double.ssh("sudo poweroff", check=False)

    assert double.ends() == 2
    assert b"Power down" not in double.said


def test_hyperkit_pauses_and_ends_with_numbers_of_its_own(double: Double) -> None:
    double.boot(*USUAL, program="hyperkit")

    double.process.send_signal(signal.SIGUSR1)
    time.sleep(0.5)
    with socket.create_connection((double.address, SSH_PORT), timeout=0.5) as link:
        with pytest.raises(TimeoutError):
            link.recv(100)
    double.process.send_signal(signal.SIGUSR2)
    assert double.ssh("echo awake") == "awake\n"
    double.ssh("sudo poweroff", check=False)

    assert double.ends() == 0


# --- nothing boots below: QEMU is started, its processor is not --------------------------------

FROZEN = {"FAKE_XHYVE_QEMU_ARGS": "-S"}


def test_killed_at_once_it_takes_qemu_along_and_its_address_is_free_again(double: Double) -> None:
    double.start(*USUAL, **FROZEN)
    qemu = double.qemu()
    double.await_port()

    double.process.kill()
    qemu.wait(HANG_S)
    assert double.ends() == -signal.SIGKILL
    assert double.pid_file.exists()

    double.pid_file.unlink()
    double.start(*USUAL, **FROZEN)
    double.qemu()
    double.await_port()


def test_before_the_guest_knows_acpi_a_sigterm_is_the_end(double: Double) -> None:
    double.start(*USUAL, **FROZEN)
    qemu = double.qemu()

    double.process.send_signal(signal.SIGTERM)

    assert double.ends() == -signal.SIGTERM
    assert not qemu.is_running()
    assert double.pid_file.exists()


def test_when_qemu_ends_by_itself_it_aborts(double: Double) -> None:
    double.start(*USUAL, **FROZEN)
    qemu = double.qemu()
    double.await_port()
    time.sleep(0.2)

    qemu.kill()

    assert double.ends() == -signal.SIGABRT
    assert double.pid_file.exists()


def test_what_qemu_has_against_its_arguments_is_told(double: Double) -> None:
    double.start(*USUAL, FAKE_XHYVE_QEMU_ARGS="-nonsense")

    assert double.ends() == 70
    assert "fake xhyve: " in double.errors
    assert "-nonsense" in double.errors
