"""bhyve from main to exit."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests.fakes.beehive import texts
from tests.fakes.beehive.leases import keep_leases
from tests.fakes.beehive.parse import ERROR, MAX_CPUS, CommandLine, Ends, block_path, parse
from tests.fakes.beehive.world import Vm, World, is_alive, world_of
from tests.fakes.hyve import model as hyve
from tests.fakes.hyve.guest import Ending, Guest
from tests.fakes.hyve.personality import BadPersonality, Personality, personality_of
from tests.fakes.hyve.process import Process
from tests.fakes.hyve.pump import Pump
from tests.fakes.hyve.scripted import BadScript, ScriptedGuest, actions_of
from tests.fakes.hyve.uarts import Backend, Uarts

if TYPE_CHECKING:
    from types import FrameType

EX_SOFTWARE = 70  # what bhyve never ends with: the double could not do its part
_POLL_S = 0.05
_STATUS = {Ending.RESET: 0, Ending.POWEROFF: 1, Ending.HALT: 2, Ending.DIED: 3}
_ASKED = {"poweroff": Ending.POWEROFF, "reset": Ending.RESET}


@dataclass
class _Run:
    line: CommandLine
    world: World
    personality: Personality
    process: Process
    vm: Vm
    macs: dict[hyve.Slot, str] = field(default_factory=dict)
    taps: list[str] = field(default_factory=list)
    consoles: dict[int, Backend] = field(default_factory=dict)


def main(argv: list[str]) -> NoReturn:
    """Never returns: the process ends as the real one would."""
    _undo_python()
    if os.environ.get("FAKE_BHYVE_HELP"):
        os.write(1, texts.HELP.encode())
        os._exit(0)
    process, world = Process(), world_of(os.environ)
    own_leases = os.environ.pop("FAKE_BHYVE_LEASES", "")
    os.environ.update(
        {k.replace("FAKE_BHYVE_", "FAKE_XHYVE_"): text for k, text in os.environ.items()}
    )
    os.environ["FAKE_XHYVE_STATE"] = str(world.state)
    try:
        line = parse(argv)
        personality = personality_of(os.environ, euid=os.geteuid(), prog="xhyve")
        run = _Run(line, world, personality, process, _opened(line, world))
        _start_devices(run)
    except Ends as end:
        process.print_err(end.err)
        process.exit(end.status)
    except (BadPersonality, BadScript) as error:
        _own_failure(process, str(error))
    keep_leases(personality.leases, Path(own_leases or world.state / "dnsmasq.leases"))
    _run(run)


def _opened(line: CommandLine, world: World) -> Vm:
    """do_open: the machine, loaded, or made for a boot ROM. Raises Ends."""
    vm = world.find(line.name)
    if vm is None:
        try:
            world.need_root()
        except OSError as error:
            raise Ends(ERROR, f"vm_create: {error.strerror}\n") from error
        if line.bootrom is None:
            # It was made just now, and stays.
            world.create(line.name)
            raise Ends(ERROR, "virtual machine cannot be booted\n")
        vm = world.create(line.name)
    if not world.root:
        raise Ends(ERROR, "vm_open: Operation not permitted\n")
    if is_alive(vm.pid):
        raise Ends(ERROR, "vm_open: Device busy\n")
    if line.cpus > MAX_CPUS:
        raise Ends(ERROR, f"{line.cpus} vCPUs requested but only {MAX_CPUS} available\n")
    if line.bootrom is None and not vm.loader:
        raise Ends(ERROR, "virtual machine cannot be booted\n")
    if line.bootrom is None and vm.memory_bytes != line.memory_bytes:
        raise Ends(ERROR, "Unable to setup memory (22)\n")
    if line.bootrom is None and vm.ran:
        raise Ends(ERROR, "fake bhyve: this machine was not loaded again\n")
    return world.save(replace(vm, pid=os.getpid(), ran=True, asked=""))


# --- devices ---------------------------------------------------------------------------------


def _start_devices(run: _Run) -> None:
    """Raises Ends."""
    uarts = Uarts(run.process, hyve.Flavour.HEAD)
    if run.line.bootrom is not None:
        _check_rom(run.line.bootrom)
    for slot in run.line.slots:
        if slot.emulation in {"virtio-blk", "ahci-hd", "ahci-cd"}:
            _check_disk(slot)
        elif slot.emulation in {"virtio-net", "e1000"}:
            _start_nic(slot, run)
        elif slot.emulation == "lpc":
            for uart in run.line.uarts:
                run.consoles[uart.index] = _console(uart, uarts)


def _check_rom(path: str) -> None:
    try:
        size = os.stat(path).st_size
    except OSError as error:
        raise Ends(ERROR, f'Error opening bootrom "{path}": {error.strerror}\n') from error
    if size % 4096 or not 0 < size <= 16 << 20:
        raise Ends(ERROR, f"ROM size {size} is invalid\n")


def _check_disk(slot: hyve.Slot) -> None:
    path = block_path(slot)
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise Ends(
            ERROR,
            f"Could not open backing file: {path}: {error.strerror}\n"
            f"device emulation initialization error: {error.strerror}\n",
        ) from error


def _start_nic(slot: hyve.Slot, run: _Run) -> None:
    tap, *words = (slot.config or "").split(",")
    mac = "58:9c:fc:00:00:01"
    for word in words:
        name, _, value = word.partition("=")
        if name == "mac" and not re.fullmatch("(?:[0-9a-fA-F]{1,2}:){5}[0-9a-fA-F]{1,2}", value):
            raise Ends(ERROR, f'Invalid MAC address "{value}"\n')
        mac = value if name == "mac" else mac
    problem = ""
    with run.world.interfaces() as found:
        if tap not in found or is_alive(found[tap]["pid"]):
            problem = "Device busy" if tap in found else "No such file or directory"
        else:
            found[tap]["pid"] = os.getpid()
            run.taps.append(tap)
    if problem:
        raise Ends(
            ERROR,
            f"open of tap device /dev/{tap} failed\n"
            f"device emulation initialization error: {problem}\n",
        )
    run.macs[slot] = ":".join(f"{int(octet, 16):02x}" for octet in mac.split(":"))


class _Stdio(Backend):
    """In from stdin, out to stdout."""

    def write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(1, data) :]
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                return


def _console(uart: hyve.Uart, uarts: Uarts) -> Backend:
    opened = uarts.open(uart.backend, f"COM{uart.index + 1}")
    if opened is None or uart.backend == "autopty":
        raise Ends(
            ERROR,
            f"Unable to initialize backend '{uart.backend}' for LPC device COM{uart.index + 1}\n",
        )
    return _Stdio(fd=0) if uart.backend == "stdio" else opened


# --- the guest -------------------------------------------------------------------------------


def _guest_of(run: _Run) -> Guest:
    line, script = run.line, run.personality.script
    as_xhyve = hyve.CommandLine(
        prog="bhyve",
        cpus=line.cpus,
        memory_bytes=line.memory_bytes,
        acpi=line.acpi,
        utc=line.utc,
        uuid=line.uuid,
        firmware=hyve.Firmware(
            loader="kexec",
            kernel=run.vm.kernel,
            initrd=run.vm.initrd,
            cmdline=run.vm.cmdline,
        ),
        slots=line.slots,
        uarts=line.uarts,
    )
    if script is not None:
        return ScriptedGuest(as_xhyve, actions_of(script), run.personality.leases, run.macs)
    if run.line.bootrom is not None or run.vm.loader != "grub":
        _give_back(run)
        _own_failure(run.process, "only what grub-bhyve loaded is booted: see FAKE_BHYVE_HELP=1")
    from tests.fakes.hyve.qemu import QemuGuest

    return QemuGuest(as_xhyve, run.personality, run.macs)


def _run(run: _Run) -> NoReturn:
    arrived: deque[int] = deque()

    def arrives(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    signal.signal(signal.SIGTERM, arrives)
    guest = _guest_of(run)
    try:
        guest.start()
        pump = Pump({i: (guest.console(i), backend) for i, backend in run.consoles.items()})
    except OSError as error:
        guest.kill()
        _give_back(run)
        _own_failure(run.process, str(error))
    pump.start()
    while True:
        ending = guest.poll(_POLL_S) or _asked(run)
        if ending is not None:
            pump.finish()
            guest.kill()
            _end(run, ending)
        while arrived:
            arrived.popleft()
            if not guest.press_power_button():
                # Nobody handles the signal before the guest turns ACPI on.
                guest.kill()
                _give_back(run)
                run.process.die_by(signal.SIGTERM)


def _asked(run: _Run) -> Ending | None:
    vm = run.world.find(run.line.name)
    return _ASKED.get(vm.asked) if vm is not None else Ending.DIED


def _end(run: _Run, ending: Ending) -> NoReturn:
    _give_back(run)
    if ending is Ending.POWEROFF and not run.line.acpi:
        ending = Ending.HALT
    if ending is Ending.POWEROFF and run.line.destroys:
        run.world.destroy(run.line.name)
    if ending is Ending.DIED:
        run.process.print_err("vm exit[0]\n\treason\t\tVMX\n\texit_reason\t2 (Triple fault)\n")
    run.process.exit(_STATUS[ending])


def _give_back(run: _Run) -> None:
    """The machine stays, and so do the interfaces; both can be had again."""
    run.world.change(run.line.name, pid=0)
    with run.world.interfaces() as found:
        for tap in run.taps:
            if tap in found:
                found[tap]["pid"] = 0


# --- the process -----------------------------------------------------------------------------


def _undo_python() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    with suppress(OSError), open("/proc/self/comm", "w", encoding="utf-8") as comm:
        comm.write(os.path.basename(sys.argv[0])[:15])


def _own_failure(process: Process, text: str) -> NoReturn:
    process.print_err(f"fake bhyve: {text}\n")
    process.exit(EX_SOFTWARE)
