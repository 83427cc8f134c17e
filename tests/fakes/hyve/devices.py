"""Devices, started one after the other as xhyve starts them."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fakes.hyve import texts
from tests.fakes.hyve.blocks import open_image
from tests.fakes.hyve.nic import canonical_uuid, hold_interface, random_uuid
from tests.fakes.hyve.uarts import Backend, Uarts

if TYPE_CHECKING:
    from tests.fakes.hyve.model import CommandLine, Slot
    from tests.fakes.hyve.personality import Personality
    from tests.fakes.hyve.process import Process

_PAGE = 4096
_ROM_MAX = 16 << 20
_MAC = re.compile(r"mac=(?:[0-9a-fA-F]{1,2}:){5}[0-9a-fA-F]{1,2}", re.ASCII)


class Refused(Exception):
    """A device did not start; all it has to say is said."""


@dataclass
class Devices:
    line: CommandLine
    personality: Personality
    process: Process
    macs: dict[Slot, str] = field(default_factory=dict)
    consoles: dict[int, Backend] = field(default_factory=dict)
    _held: list[int] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def start(self) -> None:
        """Ascending by bus, slot and function. Raises Refused."""
        uarts = Uarts(self.process, self.personality.flavour)
        for slot in self.line.slots:
            match slot.emulation:
                case "virtio-blk" | "ahci-hd" | "ahci-cd":
                    self._start_block(slot)
                case "virtio-net" | "e1000":
                    self._start_nic(slot)
                case "lpc":
                    self._start_lpc(slot, uarts)
                case "virtio-tap":
                    self._start_tap(slot)
                case "fbuf":
                    self._start_fbuf(slot)
                case "uart":
                    self._start_uart(slot, uarts)

    def _refuse(self, err: str = "", out: str = "") -> Refused:
        self.process.print_err(err)
        self.process.print_out(out)
        return Refused()

    def _start_block(self, slot: Slot) -> None:
        virtio = slot.emulation == "virtio-blk"
        if slot.config is None:
            if virtio:
                raise self._refuse(out="virtio-block: backing device required\n")
            raise self._refuse("pci_ahci: backing device required\n")
        fd, problem = open_image(slot.config, self.personality.flavour, self.process)
        if fd >= 0:
            self._held.append(fd)
            signal.signal(signal.SIGCONT, signal.SIG_IGN)
        elif virtio:  # which tells again what it was told
            raise self._refuse(f"Could not open backing file: {problem}\n")
        else:
            raise Refused

    def _start_nic(self, slot: Slot) -> None:
        given = self.line.uuid
        uuid = random_uuid() if given is None else canonical_uuid(given)
        if uuid is None:
            raise Refused
        refused = not self.personality.root or "vmnet" in self.personality.failures or self.macs
        if refused or not hold_interface(self.personality.state, uuid):
            raise self._refuse(texts.VMNET)
        from tests.fakes.hyve.net import mac_of

        self.macs[slot] = mac = mac_of(uuid, self.personality.state)
        if self.line.print_mac:
            self.process.print_out(f"MAC: {mac}\n")
            self.process.exit(0)

    def _start_lpc(self, slot: Slot, uarts: Uarts) -> None:
        self._only_one(slot, "Only one LPC bridge is allowed.\n")
        if slot.bus != 0:
            raise self._refuse("LPC bridge can be present only on bus 0.\n")
        if self.line.bootrom is not None:
            self._check_rom(self.line.bootrom)
        for uart in self.line.uarts:
            name = f"COM{uart.index + 1}"
            backend = uarts.open(uart.backend, name)
            if backend is None:
                shown = uarts.as_named(uart.backend)
                raise self._refuse(
                    f"Unable to initialize backend '{shown}' for LPC device {name}\n"
                )
            self.consoles[uart.index] = backend

    def _check_rom(self, path: str) -> None:
        """xhyve src/bootrom.c:48-106."""
        try:
            with Path(path).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            shown = os.strerror(error.errno or 0)
            raise self._refuse(f'Error opening bootrom "{path}": {shown}\n') from error
        if not _PAGE <= size <= _ROM_MAX:
            raise self._refuse(f"Invalid bootrom size {size}\n")
        if size % _PAGE:
            raise self._refuse(f"Bootrom size {size} is not a multiple of the page size\n")

    def _start_tap(self, slot: Slot) -> None:
        if slot.config is None:
            return
        device, comma, mac = slot.config.partition(",")
        if comma and not _MAC.fullmatch(mac):
            raise self._refuse(f"Invalid MAC {mac.removeprefix('mac=')}\n")
        self.process.print_out(f"open of tap device /dev/{device} failed\n")

    def _start_fbuf(self, slot: Slot) -> None:
        self._only_one(slot, "Only one frame buffer device is allowed.\n")
        if slot.config is None:
            self.process.die_by(signal.SIGSEGV)
        for word in slot.config.split(","):
            name, given, value = word.partition("=")
            known = name in {"tcp", "rfb", "w", "h", "password"} if given else word == "wait"
            if name == "vga" and given:
                known, name = value in {"on", "io", "off"}, slot.config
            if not known:
                raise self._refuse(
                    f'Invalid fbuf emulation "{name}"\r\n'
                    "fbuf: {wait,}{vga=on|io|off,}rfb=<ip>:port\r\n"
                )

    def _start_uart(self, slot: Slot, uarts: Uarts) -> None:
        if uarts.open(slot.config, f"pci uart at {slot.slot}:{slot.func}") is None:
            raise self._refuse(
                f"Unable to initialize backend '{uarts.as_named(slot.config)}' "
                f"for pci uart at {slot.slot}:{slot.func}\n"
            )

    def _only_one(self, slot: Slot, text: str) -> None:
        if slot.emulation in self._seen:
            raise self._refuse(text)
        self._seen.add(slot.emulation)
