"""A provider with a micro guest, as the contract's tests take every one of them."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.fakes.guest import BOOT_TIMEOUT_S, Guest
from vagrantish import proc
from vagrantish.events import Cancel, Event, Op
from vagrantish.model import Address, ArtifactKind, QemuOptions, VmSpec
from vagrantish.provider import running
from vagrantish.provider.base import LearnsMac
from vagrantish.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vagrantish.model import Box
    from vagrantish.paths import VxHome
    from vagrantish.proc import ProcessIdentity
    from vagrantish.provider.base import HostFacts, Provider, Started, StopOutcome

HANG_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """What tells one provider from another for these tests."""

    name: str
    make: Callable[[VxHome], Provider]
    options: Callable[[Path], Any]  # its table, for a folder of its own
    table: str  # where in VmSpec that goes
    env: Callable[[Path], dict[str, str]] = lambda _folder: {}
    supervised: bool = True
    joins_console: bool = True  # there is something to type into
    refuses_kernel: str = "kernel"  # in the error text where the kernel is none
    missing: str = ""


class Quiet:
    def emit(self, event: Event, /) -> None:
        """Nobody watches."""


@dataclass
class Machine:
    """One machine of a case's provider."""

    case: Case
    provider: Provider
    host: HostFacts
    vm: VmSpec
    guest: Guest
    address: Address | None = None

    @property
    def op(self) -> Op:
        return Op(Quiet(), Cancel(), self.vm.name)

    @property
    def console(self) -> str:
        path = self.vm.layout.console_log
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def find(self) -> ProcessIdentity | None:
        return self.provider.find(self.vm.layout)

    def start(self, **changes: Any) -> Started:
        return self.provider.start(replace(self.vm, **changes), self.host, op=self.op)

    def stop(
        self, grace_s: float = 0, ask_guest: Callable[[], object] | None = None
    ) -> StopOutcome:
        return self.provider.stop(self.vm.layout, grace_s=grace_s, ask_guest=ask_guest, op=self.op)

    def await_ready(self, *, boots: int = 1) -> None:
        """The guest has said ``boots`` times that it is up, and answers ssh."""
        ready = "vx: ready ssh"
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        while self.console.count(ready) < boots:
            assert self.find() is not None, f"it ended:\n{self.console[-2000:]}"
            assert time.monotonic() < deadline, f"it is not ready:\n{self.console[-2000:]}"
            time.sleep(0.02)
        self.address = self.await_address()

    def await_address(self) -> Address:
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        while True:
            for address in self.provider.addresses(self.vm.layout).addresses:
                if self.ssh("true", at=address, check=False).returncode == 0:
                    return address
            assert time.monotonic() < deadline, "nothing answers ssh"
            time.sleep(0.05)

    def ssh(
        self, command: str, *, at: Address | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        where = at or self.address
        assert where is not None
        folder = self.guest.folder
        words: list[str | Path] = [
            "ssh", "-F", "none", "-i", folder / "id", "-p", str(where.port),
            "-o", f"UserKnownHostsFile={folder / 'known_hosts'}", "-o", "HostKeyAlias=guest",
            "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20",
            "-o", "LogLevel=ERROR", f"{self.guest.box.user}@{where.host}", command,
        ]  # fmt: skip
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANG_S
        )
        assert not check or done.returncode == 0, (command, done)
        return done


def machine_of(
    case: Case, box: Box, home: VxHome, folder: Path, *, name: str = "web", number: int = 1
) -> Machine:
    """Not started; its environment must be set already."""
    made = case.make(home)
    options = case.options(folder)
    quiet = Op(Quiet(), Cancel(), name)
    # Two workers may run one case at once, and what finds strays looks at the whole host.
    machine_id = uuid.uuid4().hex[:8]
    layout = home.machine(machine_id)
    layout.directory.mkdir(parents=True, mode=0o700)
    guest_folder = folder / name
    guest_folder.mkdir()
    guest = Guest(folder=guest_folder, box=box)
    guest.seed(hostname=name)
    host = made.probe(options, op=quiet)
    vm = VmSpec(
        id=machine_id,
        name=name,
        uuid=str(uuid.uuid4()),
        arch="x86_64",
        cpus=1,
        memory_bytes=256 * MIB,
        kernel=box.artifacts[ArtifactKind.KERNEL].path,
        initrd=guest_folder / "initrd",
        cmdline=box.cmdline,
        disks=(),
        mac=f"52:54:00:00:00:{number:02x}",
        ssh_port=0,
        ssh_port_fixed=False,
        forwards=(),
        cpu_level=box.cpu_level,
        hostname=name,
        layout=layout,
        **{"qemu": QemuOptions(), case.table: options},
    )
    if isinstance(made, LearnsMac):
        vm = replace(vm, mac=made.learn_mac(vm, host, op=quiet))
    return Machine(case=case, provider=made, host=host, vm=vm, guest=guest)


def wait_for(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + HANG_S
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def kill(process: ProcessIdentity | None) -> None:
    assert process is not None
    os.kill(process.pid, 9)
    wait_for(lambda: not proc.is_alive(process), "it does not die")


def supervisor_of(machine: Machine) -> ProcessIdentity | None:
    return running.find_supervisor(machine.vm.layout)
