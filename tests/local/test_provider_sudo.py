"""The real sudo with an ordinary user, in a mount namespace whose sudoers is the test's own.

Runs where root runs the tests and sudo is installed; the host's users and rules stay as they are.
"""

from __future__ import annotations

import ctypes
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.hyve.install import ROOT, install
from tests.fakes.hyve.trying import bzimage
from tests.fakes.supervised import Quiet, wait_for
from vagrantish import proc
from vagrantish.errors import ProviderError
from vagrantish.events import Cancel, Op
from vagrantish.model import QemuOptions, VmSpec, XhyveOptions
from vagrantish.paths import VxHome
from vagrantish.provider import running
from vagrantish.provider.supervisor import ended
from vagrantish.provider.xhyve.privilege import SUDO, TICKET, sudoers_line
from vagrantish.provider.xhyve.provider import Xhyve
from vagrantish.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.provider.supervisor.ended import Ended

NOBODY = 65534
HANG_S = 60.0
PYTHON = f"/mnt/bin/{Path(sys.executable).resolve().name}"  # where whoever it is may run it
SETTINGS = {"FAKE_XHYVE_BOOT": "0", "FAKE_XHYVE_SCRIPT": "acpi;say:up"}
_NEW_MOUNTS, _BIND, _PRIVATE = 0x20000, 0x1000, 0x44000

SKIP = (
    "only root can become somebody else"
    if os.geteuid() != 0
    else "needs sudo"
    if not shutil.which("sudo") or not shutil.which("visudo") or not os.path.exists("/etc/sudoers")
    else "needs mount namespaces"
    if sys.platform != "linux" or subprocess.run(("unshare", "-m", "true"), check=False).returncode
    else ""
)
pytestmark = pytest.mark.skipif(bool(SKIP), reason=SKIP)


@dataclass
class User:
    """Nobody, who has a machine in ``folder``, and a sudo whose rules are in ``sudoers``."""

    folder: Path
    sudoers: Path
    uuid: str

    @property
    def vm(self) -> VmSpec:
        return VmSpec(
            id="m1",
            name="web",
            uuid=self.uuid,
            arch="x86_64",
            cpus=1,
            memory_bytes=64 * MIB,
            kernel=self.folder / "vmlinuz",
            initrd=None,
            cmdline="console=ttyS0",
            disks=(),
            mac="",
            ssh_port=0,
            ssh_port_fixed=False,
            forwards=(),
            cpu_level="x86-64-v1",
            qemu=QemuOptions(),
            xhyve=XhyveOptions(),
            layout=VxHome(self.folder / "home").machine("m1"),
        )

    @property
    def rule(self) -> str:
        return sudoers_line("nobody", str(self.folder / "bin" / "xhyve"))

    @property
    def console(self) -> str:
        return self.vm.layout.console_log.read_text()

    @property
    def ended(self) -> Ended:
        found = ended.read(self.vm.layout)
        assert found is not None
        return found

    def allow(self, rule: str) -> None:
        """Written in place: it is mounted."""
        with self.sudoers.open("w") as file:
            file.write(f"Defaults use_pty\n{rule}\n")

    def does(self, act: str) -> Any:
        """What ``act`` answers in a process of the user's, which has no terminal."""
        child = os.fork()
        if child == 0:
            self._become(act)
        _, status = os.waitpid(child, 0)
        return self._answer(status)

    def does_at_a_terminal(self, act: str) -> tuple[Any, bytes]:
        """The same, and what that terminal showed; it is gone afterwards."""
        child, terminal = pty.fork()
        if child == 0:
            self._become(act)
        shown = b""
        until = time.monotonic() + HANG_S
        while time.monotonic() < until:
            if not select.select([terminal], [], [], 0.05)[0]:
                if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    break
                continue
            try:
                shown += os.read(terminal, 4096)
            except OSError:
                break
        _, status = os.waitpid(child, 0)
        os.close(terminal)
        return self._answer(status), shown

    def is_running(self) -> bool:
        return running.find_hypervisor(self.vm.layout) is not None

    def of_root(self) -> list[Path]:
        home = self.folder / "home"
        return [path for path in (home, *home.rglob("*")) if path.lstat().st_uid != NOBODY]

    def _answer(self, status: int) -> Any:
        assert status == 0, (self.folder / "errors").read_text()
        return json.loads((self.folder / "answer").read_text())

    def _become(self, act: str) -> None:
        try:
            _mount_own(self.sudoers)
            if not os.isatty(0):
                os.setsid()
            errors = os.open(self.folder / "errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(errors, 2)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            paths = (str(ROOT), sysconfig.get_path("purelib"))
            known = {
                "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin:/usr/sbin:/sbin",
                "HOME": str(self.folder),
                "VX_HOME": str(self.folder / "home"),
                "PYTHONPATH": os.pathsep.join(paths),
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            code = f"from tests.local.test_provider_sudo import act; act({act!r})"
            words = [PYTHON, "-c", code, str(self.folder), str(self.sudoers), self.uuid]
            os.execve(PYTHON, words, known)
        finally:
            os._exit(99)


def _mount_own(sudoers: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS) or libc.mount(b"none", b"/", None, _PRIVATE, None):
        raise OSError(ctypes.get_errno(), "no mount namespace")
    for source, place in ((str(sudoers), "/etc/sudoers"), (sys.base_prefix, "/mnt")):
        if libc.mount(source.encode(), place.encode(), None, _BIND, None):
            raise OSError(ctypes.get_errno(), f"cannot mount {place}")


def act(what: str) -> None:
    """In the user's process: what the tests ask for, and how it went."""
    user = User(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    provider, vm = Xhyve(VxHome(user.folder / "home")), user.vm
    op = Op(Quiet(), Cancel(), "web")
    answer: Any = None
    try:
        if what == "probe":
            answer = provider.probe(vm.xhyve, op=op).privilege
        elif what.startswith("start"):
            host = provider.probe(vm.xhyve, op=op)
            if what == "start with a ticket":
                host = replace(host, privilege=TICKET)
            answer = provider.start(vm, host, op=op).process.pid
        elif what == "halt":
            answer = provider.stop(vm.layout, grace_s=2, ask_guest=None, op=op).value
        elif what == "destroy":
            answer = provider.stop(vm.layout, grace_s=0, ask_guest=None, op=op).value
    except ProviderError as error:
        answer = f"{error.message} | {error.hint}"
    (user.folder / "answer").write_text(json.dumps(answer))


@pytest.fixture
def user() -> Iterator[User]:
    """In a folder that nobody may look into; what is left of the machine ends with the test."""
    folder = Path(tempfile.mkdtemp(prefix="vx-sudo-"))
    sudoers = folder / "sudoers"
    program = install(folder / "bin", "xhyve", SETTINGS | {"FAKE_XHYVE_STATE": str(folder / "s")})
    shebang, _, rest = program.read_text().partition("\n")
    assert shebang.startswith("#!")
    program.write_text(f"#!{PYTHON} -IS\n{rest}")
    (folder / "vmlinuz").write_bytes(bzimage())
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    sudoers.touch(0o440)
    (folder / "answer").touch()
    os.chown(folder / "answer", NOBODY, NOBODY)
    (folder / "home").mkdir()
    os.chown(folder / "home", NOBODY, NOBODY)
    made = User(folder, sudoers, str(uuid.uuid4()))
    made.allow(made.rule)
    yield made
    layout = made.vm.layout
    for process in (running.find_supervisor(layout), running.find_hypervisor(layout)):
        if process is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    shutil.rmtree(folder)


def test_the_rule_that_vx_suggests_is_one(user: User) -> None:
    done = subprocess.run(("visudo", "-cf", user.sudoers), capture_output=True, check=False)

    assert done.returncode == 0, done
    assert user.does("probe") == SUDO


def test_with_the_rule_only_the_hypervisor_is_roots(user: User) -> None:
    pid = user.does("start")

    assert os.stat(f"/proc/{pid}").st_uid == 0
    supervisor = running.find_supervisor(user.vm.layout)
    assert supervisor is not None
    assert os.stat(f"/proc/{supervisor.pid}").st_uid == NOBODY
    assert user.does("halt") == "shut down"
    assert not user.is_running()
    assert user.of_root() == []


def test_no_rule_that_is_for_another_program_counts(user: User) -> None:
    user.allow("nobody ALL=(root) NOPASSWD: /bin/kill")

    assert user.does("probe") == TICKET
    assert "a password is required" in user.does("start")
    assert not user.is_running()


def test_a_sudo_with_use_pty_gets_the_console_to_vx_and_not_to_the_terminal(user: User) -> None:
    pid, shown = user.does_at_a_terminal("start with a ticket")

    assert isinstance(pid, int), pid
    assert user.console == "up\n"
    assert shown == b""
    # Its terminal is gone by now.
    assert user.is_running()
    assert os.getsid(pid) not in (pid, os.getsid(0))
    assert user.does("halt") == "shut down"
    assert user.ended.ending.status == 1


@pytest.mark.parametrize("act_", ["halt", "destroy"])
def test_what_sudo_does_not_let_us_end_goes_on_with_its_supervisor(user: User, act_: str) -> None:
    user.does("start")
    user.allow("nobody ALL=(root) /bin/kill")

    assert "sudo does not let vx end it" in user.does(act_)

    assert user.is_running()
    assert running.find_supervisor(user.vm.layout) is not None
    user.allow(user.rule)
    assert user.does(act_) == ("shut down" if act_ == "halt" else "forced off")
    assert not user.is_running()
    assert "password" not in user.ended.stderr


def test_a_guest_that_reboots_when_sudo_has_forgotten_is_halted_and_told(user: User) -> None:
    program = user.folder / "bin" / "xhyve"
    program.write_text(program.read_text().replace("acpi;say:up", "say:up;reboot@2"))
    user.does("start")
    user.allow("nobody ALL=(root) /bin/kill")

    wait_for(user.vm.layout.ended.exists)

    assert "could not be started again" in user.ended.ending.text
    assert "a password is required" in user.ended.ending.text
    assert user.of_root() == []


@pytest.mark.parametrize("who", ["supervisor", "sudo", "hypervisor"])
def test_whatever_of_it_is_killed_the_rest_is_found_and_ended(user: User, who: str) -> None:
    pid = user.does("start")
    supervisor = running.find_supervisor(user.vm.layout)
    assert supervisor is not None
    (parent,) = (
        int(line.split()[1])
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("PPid:")
    )
    victim = {"supervisor": supervisor.pid, "sudo": parent, "hypervisor": pid}[who]
    assert "sudo" in proc.arguments(parent)[0]
    os.kill(victim, signal.SIGKILL)

    wait_for(lambda: user.is_running() is (who != "hypervisor"))

    assert user.does("destroy") == ("was not running" if who == "hypervisor" else "forced off")
    assert proc.identify(pid) is None
    assert user.of_root() == []
