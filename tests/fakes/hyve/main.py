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
from tests.fakes.hyve.model import Flavour
from tests.fakes.hyve.parse import Ends, parse
from tests.fakes.hyve.personality import BadPersonality, personality_of
from tests.fakes.hyve.process import Process
from tests.fakes.hyve.pump import Pump
from tests.fakes.hyve.scripted import Action, BadScript, ScriptedGuest, actions_of
from tests.fakes.hyve.stages import load, make_tables, make_vm, write_pid_file

if TYPE_CHECKING:
    from types import FrameType

EX_SOFTWARE = 70  # what xhyve never ends with: the double could not do its part
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
    make_vm(line, personality, process)
    write_pid_file(line, process)
    try:
        devices.start()
    except Refused:
        process.exit(1)
    make_tables(line, process)
    load(line, personality, process)
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
        # An ending comes first: what arrives after it may be about the guest that is gone.
        ending = guest.poll(0 if arrived else _POLL_S)
        if ending is not None:
            pump.finish()
            _end(guest, ending, devices)
        if arrived:
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
