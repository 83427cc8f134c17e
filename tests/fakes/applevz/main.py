"""vfkit from main to exit."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty
from typing import TYPE_CHECKING, NoReturn

from tests.fakes.applevz import texts
from tests.fakes.applevz.boots import as_xhyve
from tests.fakes.applevz.model import CommandLine, Efi, Linux
from tests.fakes.applevz.parse import Shown, Wrong, parse, socket_of
from tests.fakes.applevz.rest import Machine, serve
from tests.fakes.hyve.guest import Ending, Guest
from tests.fakes.hyve.personality import BadPersonality, Personality, personality_of
from tests.fakes.hyve.pump import Pump
from tests.fakes.hyve.scripted import BadScript, ScriptedGuest, actions_of
from tests.fakes.hyve.uarts import Backend

if TYPE_CHECKING:
    from types import FrameType

    from tests.fakes.applevz.rest import Asked

EX_SOFTWARE = 70  # what vfkit never ends with: the double could not do its part
_POLL_S = 0.05
_STOP_S = 5.0
_ARM_MARK, _ARM_MARK_AT = b"ARM\x64", 0x38
_BZ_MARK, _BZ_MARK_AT = b"HdrS", 0x202


@dataclass
class Vm:
    line: CommandLine
    personality: Personality
    machine: Machine
    fails: tuple[str, ...]
    log: int = -1  # the console's
    guest: Guest | None = None
    pump: Pump | None = None


def main(argv: list[str]) -> NoReturn:
    """Never returns: the process ends as the real one would."""
    _undo_python()
    environ = {k.replace("FAKE_VFKIT_", "FAKE_XHYVE_"): text for k, text in os.environ.items()}
    os.environ.update(environ)
    if os.environ.get("FAKE_VFKIT_HELP"):
        _write(1, texts.HELP)
        os._exit(0)
    fails = tuple(filter(None, environ.pop("FAKE_XHYVE_FAIL", "").split(",")))
    try:
        personality = personality_of(environ, euid=os.geteuid(), prog="xhyve")
        vm = _checked(argv, personality, fails)
    except Shown as shown:
        _write(1, str(shown))
        os._exit(0)
    except Wrong as wrong:
        _write(2, f"Error: {wrong}\nUsage:\n  vfkit [flags]\n\n{wrong}\n")
        os._exit(1)
    except (BadPersonality, BadScript, OSError) as error:
        _own_failure(str(error))
    _run(vm)


def _checked(argv: list[str], personality: Personality, fails: tuple[str, ...]) -> Vm:
    """Everything up to the start of the guest. Raises Wrong."""
    line = parse(argv)
    if line.others.get("log-level", "info") != "error":
        parameters = (f"\\tvCPUs: {line.cpus}", f"\\tmemory: {line.memory_mib} MiB")
        for text in ("virtual machine parameters:", *parameters):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            _write(2, f'time="{stamp}" level=info msg="{text}"\n')
    if line.pid_file:
        with open(line.pid_file, "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    _check_files(line)
    vm = Vm(line, personality, Machine(line.cpus, line.memory_mib << 20), fails)
    consoles = line.of_kind("virtio-serial")
    if consoles:
        path = consoles[0].options.get("logFilePath")
        if path is None:
            _own_failure("only logFilePath is played")
        vm.log = _opened(path)
    if line.rest not in {"none", "none://"}:
        if not line.rest.lower().startswith("unix:"):
            _own_failure("only unix:// is served")
        try:
            serve(socket_of(line.rest), vm.machine)
        except OSError as error:
            raise Wrong(f"listen unix {socket_of(line.rest)}: bind: {_reason(error)}") from error
    return vm


def _opened(path: str) -> int:
    """Emptied at every start (pkg/vf/virtio.go)."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    except OSError as error:
        raise Wrong(f"open {path}: {_reason(error)}") from error


def _check_files(line: CommandLine) -> None:
    _check_bootloader(line)
    for disk in (*line.of_kind("virtio-blk"), *line.of_kind("nvme")):
        path = disk.options.get("path", "")
        if not path:
            raise Wrong(f"missing mandatory 'path' option for {disk.kind} device")
        if _head(path)[:4] == b"QFI\xfb":
            raise Wrong("vfkit does not support qcow2 image format")
        if not os.access(path, os.W_OK):
            raise Wrong(f"Error Domain=NSPOSIXErrorDomain Code=13 Description={path!r}: read-only")


def _check_bootloader(line: CommandLine) -> None:
    if isinstance(line.bootloader, Linux):
        boots = line.bootloader
        if os.environ.get("FAKE_VFKIT_ARCH") == "arm64":
            head = _head(boots.kernel)
            if head[_ARM_MARK_AT : _ARM_MARK_AT + 4] != _ARM_MARK:
                raise Wrong(f"kernel must be uncompressed, {boots.kernel} is a compressed file")
        elif _head(boots.kernel)[_BZ_MARK_AT : _BZ_MARK_AT + 4] != _BZ_MARK:
            raise Wrong(
                "Error Domain=VZErrorDomain Code=1 Description="
                '"Internal Virtualization error. The virtual machine failed to start."'
            )
        if boots.initrd:
            _head(boots.initrd)
    elif isinstance(line.bootloader, Efi):
        if not line.bootloader.create and not os.path.exists(line.bootloader.store):
            raise Wrong(f"stat {line.bootloader.store}: no such file or directory")
        _own_failure("efi is checked, and not booted")


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(2048)
    except OSError as error:
        raise Wrong(f"open {path}: {_reason(error)}") from error


# --- the guest -------------------------------------------------------------------------------


def _begin(vm: Vm) -> None:
    line, macs = as_xhyve(vm.line)
    script = vm.personality.script
    if script is None:
        from tests.fakes.hyve.qemu import QemuGuest

        vm.guest = QemuGuest(line, vm.personality, macs)
    else:
        vm.guest = ScriptedGuest(line, actions_of(script), vm.personality.leases, macs)
    vm.guest.start()
    vm.pump = None
    if vm.log >= 0 and line.uarts:
        vm.pump = Pump({0: (vm.guest.console(0), Backend(fd=vm.log))})
        vm.pump.start()
    vm.machine.state = "Running"


def _run(vm: Vm) -> NoReturn:
    arrived: deque[int] = deque()

    def arrives(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, arrives)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        _begin(vm)
    except OSError as error:
        _own_failure(str(error))
    forced_at = float("inf")
    while True:
        _look(vm)
        _answer_asked(vm)
        if arrived:
            arrived.clear()
            if forced_at == float("inf"):
                _press(vm)
                forced_at = time.monotonic() + _STOP_S
        if time.monotonic() >= forced_at:
            _end(vm, 1)


def _look(vm: Vm) -> None:
    """A guest that reboots stays; one that halted stands there for ever."""
    assert vm.guest is not None
    ending = vm.guest.poll(_POLL_S)
    if ending is Ending.HALT:
        time.sleep(_POLL_S)
    elif ending is Ending.RESET:
        _finish(vm)
        vm.guest = None
        _begin(vm)
    elif ending is Ending.POWEROFF:
        _end(vm, 0)
    elif ending is Ending.DIED:
        _write(2, "Error: virtualization error: hypervisor virtualization error\n")
        _end(vm, 1)


def _answer_asked(vm: Vm) -> None:
    with suppress(Empty):
        while True:
            asked = vm.machine.asked.get_nowait()
            asked.answer.put(_change(vm, asked))
            if asked.change == "HardStop" and "hardstop" not in vm.fails:
                time.sleep(_POLL_S)  # for the answer to go out
                _end(vm, 0)


def _change(vm: Vm, asked: Asked) -> str:
    assert vm.guest is not None
    state = vm.machine.state
    if asked.change == "Stop":
        _press(vm)
    elif asked.change == "HardStop":
        if "hardstop" in vm.fails:
            return "Error Domain=VZErrorDomain Code=3 Description=Invalid virtual machine state"
        vm.machine.state = "Stopped"
    elif asked.change == "Pause" and state == "Running":
        vm.guest.pause()
        vm.machine.state = "Paused"
    elif asked.change == "Resume" and state == "Paused":
        vm.guest.resume()
        vm.machine.state = "Running"
    else:
        return "Error Domain=VZErrorDomain Code=3 Description=Invalid virtual machine state"
    return ""


def _press(vm: Vm) -> None:
    assert vm.guest is not None
    vm.guest.press_power_button()


def _finish(vm: Vm) -> None:
    if vm.pump is not None:
        vm.pump.finish()
    if vm.guest is not None:
        vm.guest.kill()


def _end(vm: Vm, status: int) -> NoReturn:
    if status and vm.guest is not None:
        vm.guest.kill()
    _finish(vm)
    if vm.line.rest.lower().startswith("unix:"):
        with suppress(OSError):
            os.unlink(socket_of(vm.line.rest))
    os._exit(status)


# --- the process -----------------------------------------------------------------------------


def _undo_python() -> None:
    """A name of its own in the list of processes."""
    with suppress(OSError), open("/proc/self/comm", "w", encoding="utf-8") as comm:
        comm.write(os.path.basename(sys.argv[0])[:15])


def _write(fd: int, text: str) -> None:
    with suppress(OSError):
        os.write(fd, os.fsencode(text))


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _own_failure(text: str) -> NoReturn:
    _write(2, f"fake vfkit: {text}\n")
    os._exit(EX_SOFTWARE)
