"""vfkit and bhyve, each over its stand-in, with a real guest: found, reached, rebooted, ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.applevz.install import install as install_vfkit
from tests.fakes.beehive.install import install as install_bhyve
from tests.fakes.guest import BOOT_TIMEOUT_S, MISSING, READY, Guest
from tests.fakes.recorder import Recorder
from vagrantish.box.store import BoxStore
from vagrantish.diagnosis.endings import EndingKind
from vagrantish.events import Cancel, Op
from vagrantish.model import (
    ArtifactKind,
    BhyveOptions,
    BoxRef,
    Disk,
    QemuOptions,
    VfkitOptions,
    VmSpec,
)
from vagrantish.paths import VxHome
from vagrantish.provider.base import HostFacts, StopOutcome
from vagrantish.provider.bhyve.provider import Bhyve
from vagrantish.provider.vfkit.provider import Vfkit
from vagrantish.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(MISSING is not None, reason=f"needs {MISSING}"),
]

SSH_PORT = 22 if os.geteuid() == 0 else 20022
HANG_S = 60.0


def wait_for(check: Callable[[], Any], timeout_s: float = BOOT_TIMEOUT_S) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
    return found


@dataclass
class Neighbour:
    provider: Vfkit | Bhyve
    host: HostFacts
    vm: VmSpec
    op: Op
    user: str

    def console(self) -> str:
        log = self.vm.layout.console_log
        return log.read_text("utf-8", "replace") if log.exists() else ""

    def address(self) -> str:
        candidates = wait_for(lambda: self.provider.addresses(self.vm.layout).addresses)
        assert candidates[0].port == SSH_PORT
        return str(candidates[0].host)

    def ssh(self, command: str, *, check: bool = True) -> str:
        folder = self.vm.layout.directory
        words: list[str | Path] = [
            "ssh", "-F", "none", "-i", folder / "id", "-p", str(SSH_PORT),
            "-o", f"UserKnownHostsFile={folder / 'known_hosts'}", "-o", "HostKeyAlias=guest",
            "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20",
            "-o", "LogLevel=ERROR", f"{self.user}@{self.address()}", command,
        ]  # fmt: skip
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANG_S
        )
        assert not check or done.returncode == 0, (command, done)
        return done.stdout

    def stop(self, grace_s: float) -> StopOutcome:
        return self.provider.stop(self.vm.layout, grace_s=grace_s, ask_guest=None, op=self.op)


@pytest.fixture(params=["vfkit", "bhyve"])
def neighbour(
    request: pytest.FixtureRequest, homes: Path, micro_store: Path
) -> Iterator[Neighbour]:
    home = VxHome(Path(tempfile.mkdtemp(prefix="", dir=homes)))
    box = BoxStore(VxHome(micro_store)).find(BoxRef(name="micro"), arch="x86_64")
    layout = home.machine("0f3c0a52")
    layout.directory.mkdir(parents=True)
    Guest(folder=layout.directory, box=box).seed()
    with layout.disk.open("wb") as disk:
        disk.truncate(16 * MIB)
    leases = home.root / "leases"
    kind = request.param.upper()
    settings = {
        f"FAKE_{kind}_STATE": str(home.root / "state"),
        f"FAKE_{kind}_LEASES": str(leases),
        f"FAKE_{kind}_SSH_PORT": str(SSH_PORT),
        f"FAKE_{kind}_ROOT": "1",
    }
    install = install_vfkit if kind == "VFKIT" else install_bhyve
    program = install(home.root / "bin", settings=settings)
    vm = VmSpec(
        id="0f3c0a52",
        name="web",
        uuid="0f3c0a52-9d5f-4c51-a8a0-3d4a0ea20a11",
        arch="x86_64",
        cpus=1,
        memory_bytes=256 * MIB,
        kernel=box.artifacts[ArtifactKind.KERNEL].path,
        initrd=layout.initrd,
        cmdline=box.cmdline,
        disks=(Disk(path=layout.disk, format="raw", serial="vx-root"),),
        mac="52:54:00:0a:00:0c",
        ssh_port=0,
        ssh_port_fixed=False,
        forwards=(),
        cpu_level=box.cpu_level,
        qemu=QemuOptions(),
        layout=layout,
        hostname="web-1",
        guest_ssh_port=SSH_PORT,
        vfkit=VfkitOptions(leases=str(leases)),
        bhyve=BhyveOptions(leases=str(leases)),
    )
    provider = Vfkit(home) if kind == "VFKIT" else Bhyve(home)
    host = HostFacts(program=str(program), version="", accel=request.param)
    found = Neighbour(provider, host, vm, Op(Recorder(), Cancel(), "web"), box.user)
    yield found
    found.stop(0)
    shutil.rmtree(home.root)


def test_a_guest_is_found_by_its_lease_reboots_and_heeds_its_button(neighbour: Neighbour) -> None:
    provider, vm = neighbour.provider, neighbour.vm
    assert provider.problems(vm, neighbour.host) == ()

    started = provider.start(vm, neighbour.host, op=neighbour.op)
    wait_for(lambda: READY in neighbour.console())
    assert neighbour.ssh("hostname; ls /dev/vda; nproc").split() == ["web-1", "/dev/vda", "1"]
    boot = neighbour.ssh("cat /proc/sys/kernel/random/boot_id")

    neighbour.ssh("sudo reboot", check=False)
    wait_for(lambda: neighbour.console().count(READY) > 1)
    assert neighbour.ssh("cat /proc/sys/kernel/random/boot_id") != boot
    stays = provider.find(vm.layout) == started.process
    assert stays == isinstance(provider, Vfkit)

    assert neighbour.stop(HANG_S) is StopOutcome.SHUT_DOWN
    ending = provider.ending(vm.layout)
    assert ending is not None
    assert ending.kind is EndingKind.POWERED_OFF
    assert "reboot: Power down" in neighbour.console()
