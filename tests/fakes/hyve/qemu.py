"""A guest that QEMU runs in the double's place."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.fakes.hyve import bootpd, net, qemu_argv
from tests.fakes.hyve.guest import Ending
from tests.fakes.hyve.qemu_argv import Links, Parts
from tests.fakes.hyve.qemu_disks import opened_disks
from tests.fakes.hyve.qmp import Gone, Qmp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.fakes.hyve.model import CommandLine, Slot
    from tests.fakes.hyve.personality import Personality

_HALT_EVERY_S = 0.5
_HALTS_NEEDED = 2
_ENDS_S = 10.0
_SAID_BYTES = 1 << 16
_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
_PM1_CONTROL = "0x604"  # of q35; bit 0 is SCI_EN
_INTERRUPTS = 1 << 9  # of RFLAGS
_REASONS = {"guest-shutdown": Ending.POWEROFF, "guest-reset": Ending.RESET}
_PR_SET_PDEATHSIG = 1


class QemuGuest:
    """To be started by the thread that lives as long as the process: QEMU dies with that one."""

    def __init__(
        self, line: CommandLine, personality: Personality, macs: Mapping[Slot, str]
    ) -> None:
        self._line = line
        self._personality = personality
        self._macs = dict(macs)
        self._qemu: subprocess.Popen[bytes] | None = None
        self._qmp: Qmp | None = None
        self._consoles: dict[int, socket.socket] = {}
        self._address: net.Address | None = None  # held as long as the guest lives
        self._errors = self._capture = -1
        self._ending: Ending | None = None
        self._paused = False
        self._halts = 0
        self._look_at = 0.0

    @property
    def said(self) -> str:
        if self._errors < 0:
            return ""
        return os.pread(self._errors, _SAID_BYTES, 0).decode("utf-8", "replace")

    def start(self) -> None:
        program = shutil.which(self._personality.qemu)
        if program is None:
            raise FileNotFoundError(f"{self._personality.qemu}: no such program")
        if self._line.firmware is None or self._line.firmware.loader != "kexec":
            raise OSError("only -f kexec can be booted")
        self._errors = os.memfd_create("qemu-stderr")
        ours, theirs = self._pairs()
        argv = [program, *self._argv(theirs), *self._personality.qemu_args]
        fds = [theirs.qmp, *theirs.consoles.values()]
        if theirs.capture is not None:
            fds.append(theirs.capture)
        self._qemu = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            pass_fds=fds,
            start_new_session=True,
            preexec_fn=_dying_with_parent(),  # noqa: PLW1509 - there is no other thread yet
        )
        for fd in fds:
            os.close(fd)
        if self._capture >= 0:
            bootpd.bootpd_of(self._personality, self._address).follow(self._capture)
        self._qmp = Qmp(ours)
        try:
            self._qmp.begin()
        except Gone as error:
            self.kill()
            raise OSError(self.said.strip() or str(error)) from error
        self._look_at = time.monotonic() + _HALT_EVERY_S

    def console(self, index: int) -> int:
        return self._consoles[index].fileno()

    def poll(self, timeout_s: float) -> Ending | None:
        until = time.monotonic() + timeout_s
        while self._ending is None:
            now = time.monotonic()
            if now >= self._look_at:
                self._look_for_halt()
                continue
            self._take_event(max(0.0, min(until, self._look_at) - now))
            if time.monotonic() >= until:
                break
        return self._ending

    def press_power_button(self) -> bool:
        if not self._line.acpi:
            return False
        with suppress(Gone):
            if not acpi_enabled(self._monitor(f"i/h {_PM1_CONTROL}")):
                return False
            self._execute("system_powerdown")
        return True  # of an ended guest too: its ending is still to be told

    def pause(self) -> None:
        self._paused = True
        with suppress(Gone):
            self._execute("stop")

    def resume(self) -> None:
        self._paused = False
        with suppress(Gone):
            self._execute("cont")

    def kill(self) -> None:
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()

    # --- before it runs ----------------------------------------------------------------------

    def _pairs(self) -> tuple[socket.socket, Links]:
        """Sockets without a name: nothing to connect to, nothing left behind."""
        ours, theirs = socket.socketpair()
        consoles = {}
        if any(slot.emulation == "lpc" for slot in self._line.slots):
            for uart in self._line.uarts:
                mine, its = socket.socketpair()
                mine.setblocking(False)
                self._consoles[uart.index] = mine
                consoles[uart.index] = its.detach()
        return ours, Links(qmp=theirs.detach(), consoles=consoles, capture=self._watched())

    def _watched(self) -> int | None:
        """Attaches the network; the end of the pipe that takes what passes there."""
        kind = self._personality.net.partition(":")[0]
        failures = self._personality.failures
        if not self._macs or kind == "none" or "no-lease" in failures:
            return None
        mac = next(iter(self._macs.values()))
        if kind == "user":
            port = net.ssh_port(os.environ)
            self._address = net.claim_address(mac, self._personality.state, port)
        if "dup-lease" in failures:
            bootpd.record_dead(self._personality, mac)
        reading, writing = os.pipe()
        with suppress(OSError):
            _enlarge(writing)
        self._capture = reading
        return writing

    def _argv(self, links: Links) -> list[str]:
        attached = self._personality.net if links.capture is not None else "none"
        parts = Parts(
            flavour=self._personality.flavour,
            accel=self._personality.accel,
            links=links,
            disks=opened_disks(self._line, self._personality),
            macs=self._macs,
            netdev=net.netdev_of(attached, self._address),
        )
        return qemu_argv.qemu_argv(self._line, parts)

    # --- while it runs -----------------------------------------------------------------------

    def _execute(self, command: str) -> None:
        assert self._qmp is not None
        self._qmp.execute(command)

    def _monitor(self, line: str) -> str:
        assert self._qmp is not None
        return self._qmp.monitor(line)

    def _take_event(self, timeout_s: float) -> None:
        assert self._qmp is not None
        try:
            event = self._qmp.next_event(timeout_s)
        except Gone:
            self._end(Ending.DIED)
            return
        if event is None or event["event"] != "SHUTDOWN":
            return
        data = event["data"]
        assert isinstance(data, dict)
        self._end(_REASONS.get(str(data.get("reason")), Ending.DIED))

    def _look_for_halt(self) -> None:
        """QEMU runs on when every processor waits for an interrupt and none can come."""
        self._look_at = time.monotonic() + _HALT_EVERY_S
        if self._paused:
            return
        try:
            registers = self._monitor("info registers -a")
        except Gone:
            return  # the next event tells
        self._halts = self._halts + 1 if halted(registers) else 0
        if self._halts >= _HALTS_NEEDED:
            self._end(Ending.HALT)

    def _end(self, ending: Ending) -> None:
        """Waits for QEMU, which writes the last of the consoles while it ends."""
        self._ending = ending
        assert self._qemu is not None
        if ending is not Ending.HALT:
            with suppress(subprocess.TimeoutExpired):
                self._qemu.wait(_ENDS_S)
        self.kill()


def halted(registers: str) -> bool:
    """Every processor, by what ``info registers -a`` prints."""
    flags = [int(text, 16) for text in re.findall(r"RFL=([0-9a-f]+)", registers)]
    waits = re.findall(r"HLT=([01])", registers)
    whole = bool(flags) and len(flags) == len(waits)
    return whole and set(waits) == {"1"} and not any(flag & _INTERRUPTS for flag in flags)


def acpi_enabled(printed: str) -> bool:
    """``portw[0x0604] = 0x0001``; all bits are set while the firmware has not put it there."""
    control = int(printed.rpartition("=")[2], 16)
    return bool(control & 1) and control != 0xFFFF


def _enlarge(pipe: int) -> None:
    import fcntl

    fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE_BYTES)


def _dying_with_parent() -> Callable[[], None]:
    """Run between fork and exec. What needs memory or a lock is done before the fork."""
    import ctypes

    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    parent = os.getpid()

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return prepare
