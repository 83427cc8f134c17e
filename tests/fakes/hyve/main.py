"""xhyve from main to exit, in its order of work."""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from tests.fakes.hyve import texts
from tests.fakes.hyve.devices import Devices, Refused
from tests.fakes.hyve.guest import Ending, Guest
from tests.fakes.hyve.kexec import Loading, loading_of
from tests.fakes.hyve.model import CommandLine, Firmware, Flavour
from tests.fakes.hyve.nic import canonical_uuid
from tests.fakes.hyve.parse import Ends, parse
from tests.fakes.hyve.personality import BadPersonality, Personality, personality_of
from tests.fakes.hyve.process import Process
from tests.fakes.hyve.pump import Pump
from tests.fakes.hyve.scripted import Action, BadScript, ScriptedGuest, actions_of

if TYPE_CHECKING:
    from types import FrameType

EX_SOFTWARE = 70  # what xhyve never ends with: the double could not do its part
MAX_CPUS = 16
_MIB = 1 << 20
_MEMORY_LIMIT = 1 << 40
_POLL_S = 0.1

_STATUS = {
    Flavour.HEAD: {Ending.RESET: 0, Ending.POWEROFF: 1, Ending.HALT: 2},
    Flavour.OLD: {Ending.RESET: 0, Ending.POWEROFF: 1, Ending.HALT: 2},
    Flavour.HYPERKIT: {Ending.RESET: 2, Ending.POWEROFF: 0, Ending.HALT: 0},
}
_DEADLY = (
    signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM, signal.SIGPIPE,
    signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip
_HV_ERRORS = {
    "hv-error": "hv_vm_create HV_ERROR (unspecified error)\n",
    "hv-denied": "hv_vm_create unknown error -85377017\n",
    "hv-busy": "hv_vm_create HV_BUSY\n",
}
_NO_DEVICE_CODE = -85377018
# rip of the invalid guest state that v0.2.0 dies of, with kernels since 4.10
_EXITS = {"exit33": (33, 0x9E019), "triple": (2, 0x1000000)}


def main(argv: list[str]) -> NoReturn:
    """Never returns: the process ends as the real one would."""
    _undo_python()
    process = Process()
    sys.excepthook = _ends_by_a_bug
    try:
        personality = personality_of(os.environ, euid=os.geteuid(), prog=argv[0])
        if os.environ.get("FAKE_XHYVE_HELP"):
            process.print_out(texts.DEVIATIONS)
            process.exit(0)
        if "killed9" in personality.failures:
            process.die_by(signal.SIGKILL)
        line = parse(argv, personality.flavour)
        actions = actions_of(personality.script or "")
    except Ends as end:
        process.print_out(end.out)
        process.print_err(end.err)
        process.exit(end.status)
    except (BadPersonality, BadScript) as error:
        _own_failure(process, str(error))
    devices = Devices(line, personality, process)
    _make_vm(line, personality, process)
    _write_pid_file(line, process)
    try:
        devices.start()
    except Refused:
        process.exit(1)
    _make_tables(line, process)
    _load(line, personality, process)
    _run(_guest_of(devices, actions), devices)


def _undo_python() -> None:
    """Signals as execve left them, and a name of its own in the list of processes."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    with suppress(OSError), open("/proc/self/comm", "w", encoding="utf-8") as comm:
        comm.write(os.path.basename(sys.argv[0])[:15])


def _guest_of(devices: Devices, actions: list[Action]) -> Guest:
    line, personality = devices.line, devices.personality
    # A boot ROM behind a bridge that is not there: the cpu finds nothing to do.
    idle = line.firmware is None and all(slot.emulation != "lpc" for slot in line.slots)
    if idle or personality.script is not None:
        told = [] if idle else actions
        return ScriptedGuest(line, told, personality.leases, devices.macs)
    from tests.fakes.hyve.qemu import QemuGuest

    return QemuGuest(line, personality, devices.macs)


def _ends_by_a_bug(*raised: Any) -> None:
    """A traceback as ever, with a status that is nobody else's."""
    sys.__excepthook__(*raised)
    os._exit(EX_SOFTWARE)


def _own_failure(process: Process, text: str) -> NoReturn:
    process.print_err(f"fake xhyve: {text}\n")
    process.exit(EX_SOFTWARE)


def _make_vm(line: CommandLine, personality: Personality, process: Process) -> None:
    if personality.flavour is Flavour.HYPERKIT:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    for failure in personality.failures:
        if failure in _HV_ERRORS:
            old = personality.flavour is Flavour.OLD
            process.print_err("hv_vm_create failed\n" if old else _HV_ERRORS[failure])
            process.abort()
    if "no-device" in personality.failures:
        process.print_out(texts.NO_DEVICE)
    problem = _vm_problem(line, personality)
    if problem:
        process.print_err(f"{problem}\n")
        process.exit(1)
    if line.memory_bytes >= _MEMORY_LIMIT:
        process.print_err("vmm_mem_alloc failed\n")
        process.abort()


def _vm_problem(line: CommandLine, personality: Personality) -> str:
    if "no-device" in personality.failures:
        return f"Unable to create VM ({_NO_DEVICE_CODE})"
    if "ctlreg" in personality.failures:
        return "vmx_set_ctlreg: cap_field: 2 bit: 20 must be zero\nUnable to create VM (22)"
    if line.cpus < 1:
        return f"Invalid guest vCPUs ({line.cpus})"
    if line.cpus > MAX_CPUS:
        return f"{line.cpus} vCPUs requested but only {MAX_CPUS} available"
    return "Unable to setup memory (22)" if line.memory_bytes % 4096 else ""


def _write_pid_file(line: CommandLine, process: Process) -> None:
    path = line.pid_file
    if path is None:
        return
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except (OSError, ValueError):
        process.print_err("Failed to set up pidfile\npidfile error -1\n")
        process.exit(1)
    process.at_exit(lambda: _remove_pid_file(path, process))
    os.write(fd, str(os.getpid()).encode())
    os.close(fd)


def _remove_pid_file(path: str, process: Process) -> None:
    try:
        os.unlink(path)
    except OSError:
        process.print_err("Failed to remove pidfile\n")


def _make_tables(line: CommandLine, process: Process) -> None:
    """MP table, SMBIOS, ACPI: what of the slots and the memory does not suit them."""
    buses = {slot.bus for slot in line.slots}
    problem, status = "", 1
    if line.mptable and line.memory_bytes < _MIB:
        problem = "mptable requires mapped mem\n"
    elif line.mptable and buses - {0}:
        problem = (
            "MPtable is incompatible with multiple PCI hierarchies.\r\n"
            "MPtable generation can be disabled by passing the -Y option to bhyve(8).\r\n"
        )
    elif line.memory_bytes < _MIB or (line.uuid and canonical_uuid(line.uuid) is None):
        process.print_err("Assertion failed: (error == 0), function main, file src/xhyve.c.\n")
        process.abort()
    elif line.acpi and 0 not in buses:
        process.die_by(signal.SIGSEGV)
    elif line.acpi and buses - {0}:
        problem, status = f"DSDT, unsupported PCI bus ({min(buses - {0})})\n", 255
    if problem:
        process.print_err(problem)
        process.exit(status)


def _load(line: CommandLine, personality: Personality, process: Process) -> None:
    """What the first vcpu's thread does before the guest runs."""
    dump = None
    if line.firmware is not None and line.firmware.loader == "kexec":
        loading = loading_of(line.firmware, line.memory_bytes, personality.flavour)
        if loading in {Loading.BAD_KERNEL, Loading.BAD_INITRD}:
            kernel = loading is Loading.BAD_KERNEL
            what = ("kernel", line.firmware.kernel) if kernel else ("initrd", line.firmware.initrd)
            process.print_err(f"kexec: failed to load {what[0]} {what[1]}\n")
            process.abort()
        if loading is Loading.OVERLAP:
            dump = _EXITS["triple"]
    elif line.firmware is not None and line.firmware.loader == "fbsd":
        _load_fbsd(line.firmware, process)
    for failure in personality.failures:
        dump = _EXITS.get(failure, dump)
    if dump is not None:
        process.print_err(texts.vm_exit(*dump))
        process.abort()


def _load_fbsd(firmware: Firmware, process: Process) -> None:
    problem = ""
    if not firmware.initrd:
        problem = "fbsd: no boot volume"
    elif not os.path.exists(firmware.kernel):
        problem = f"dlopen({firmware.kernel}, 1): image not found"
    if problem:
        process.print_err(f"{problem}\n")
        process.exit(255)


def _run(guest: Guest, devices: Devices) -> NoReturn:
    process, flavour = devices.process, devices.personality.flavour
    arrived: deque[signal.Signals] = deque()

    def arrives(number: int, frame: FrameType | None) -> None:
        arrived.append(signal.Signals(number))

    for number in (signal.SIGTERM, *_DEADLY):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, arrives)
    try:
        guest.start()
        pump = Pump({index: (guest.console(index), backend)
                     for index, backend in devices.consoles.items()})  # fmt: skip
    except OSError as error:
        guest.kill()
        _own_failure(process, str(error))
    pump.start()
    while True:
        ending = guest.poll(_POLL_S)
        if ending is not None:
            pump.finish()
            _end(guest, ending, devices)
        while arrived:
            _obey(guest, arrived.popleft(), process, flavour)


def _obey(guest: Guest, number: signal.Signals, process: Process, flavour: Flavour) -> None:
    if number is signal.SIGTERM:
        if guest.press_power_button():
            return
    elif flavour is Flavour.HYPERKIT and number is signal.SIGUSR1:
        process.print_out("received sigusr1, pausing\n")
        guest.pause()
        return
    elif flavour is Flavour.HYPERKIT and number is signal.SIGUSR2:
        process.print_out("received sigusr2, unpausing\n")
        guest.resume()
        return
    guest.kill()
    process.die_by(number)


def _end(guest: Guest, ending: Ending, devices: Devices) -> NoReturn:
    said = guest.said
    guest.kill()
    if ending is Ending.DIED:
        devices.process.print_err(said)
        devices.process.abort()
    if ending is Ending.POWEROFF and not devices.line.acpi:
        ending = Ending.HALT  # without S5 the kernel can only halt
    devices.process.exit(_STATUS[devices.personality.flavour][ending])
