"""The command line of bhyve, read as bhyve reads it (usr.sbin/bhyve/bhyverun.c)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.fakes.beehive.getopt import BadOption, getopt
from tests.fakes.beehive.world import memory_bytes
from tests.fakes.hyve.cscan import scan_decimals
from tests.fakes.hyve.model import Slot, Uart

if TYPE_CHECKING:
    from collections.abc import Sequence

LETTERS = "aehuwxACDHIPSWYk:f:o:p:G:c:s:m:l:K:U:r:n:"
EX_USAGE, ERROR = 64, 4
MAX_CPUS = 16
_FLAGS = {"A": "acpi", "u": "utc", "D": "destroys"}
EMULATIONS = {
    "hostbridge", "amd_hostbridge", "lpc", "virtio-net", "virtio-blk", "virtio-rnd", "virtio-9p",
    "virtio-console", "virtio-scsi", "virtio-input", "ahci-hd", "ahci-cd", "ahci", "e1000",
    "fbuf", "xhci", "passthru", "nvme", "uart", "hda", "dummy",
}  # fmt: skip
_BLOCK_WORDS = {"nocache", "sync", "direct", "ro", "nodelete"}
_BLOCK_VALUES = ("sectorsize=", "ser=", "bootindex=")


class Ends(Exception):
    """The program ends with this status, having said this on stderr."""

    def __init__(self, status: int, err: str = "") -> None:
        super().__init__(status, err)
        self.status, self.err = status, err


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    name: str
    cpus: int = 1
    memory_bytes: int = 256 << 20
    acpi: bool = False
    utc: bool = False
    destroys: bool = False  # its machine, once the guest powered off
    uuid: str | None = None
    slots: tuple[Slot, ...] = ()
    uarts: tuple[Uart, ...] = ()
    bootrom: str | None = None
    bootvars: str | None = None


def parse(argv: Sequence[str]) -> CommandLine:
    """Raises Ends."""
    try:
        given, operands = getopt(argv, LETTERS)
    except BadOption as error:
        raise Ends(1, f"{error}\n{usage()}") from error
    parsing = _Parsing()
    for letter, text in given:
        parsing.take(letter, text)
    if len(operands) != 1:
        raise Ends(1, usage())
    if not parsing.cpus.isdecimal() or not 1 <= int(parsing.cpus) <= 65535:
        raise Ends(ERROR, f"bhyve: Invalid value for cpus: '{parsing.cpus}'\n")
    size = memory_bytes(parsing.memory)
    if size is None:
        raise Ends(EX_USAGE, f"bhyve: invalid memsize '{parsing.memory}'\n")
    return replace(
        parsing.line,
        acpi=parsing.flags.get("acpi", False),
        utc=parsing.flags.get("utc", False),
        destroys=parsing.flags.get("destroys", False),
        name=operands[0],
        cpus=int(parsing.cpus),
        memory_bytes=size,
        slots=tuple(parsing.slots[key] for key in sorted(parsing.slots)),
    )


@dataclass
class _Parsing:
    line: CommandLine = field(default_factory=lambda: CommandLine(name=""))
    cpus: str = "1"
    memory: str = "256M"
    flags: dict[str, bool] = field(default_factory=dict)
    slots: dict[tuple[int, int, int], Slot] = field(default_factory=dict)

    def take(self, letter: str, text: str) -> None:
        """One option; its errors come before those of later ones."""
        match letter:
            case "A" | "u" | "D":
                self.flags[_FLAGS[letter]] = True
            case "U":
                self.line = replace(self.line, uuid=text)
            case "h":
                raise Ends(0, usage())
            case "c":
                self.cpus = _cpus(text)
            case "m":
                self.memory = text
            case "s":
                self._take_slot(_slot(text))
            case "l":
                self._take_lpc(text)
            case "o" if not text.partition("=")[2]:
                raise Ends(EX_USAGE, f"bhyve: invalid configuration option '{text}'\n")

    def _take_slot(self, slot: Slot) -> None:
        key = (slot.bus, slot.slot, slot.func)
        if key in self.slots:
            raise Ends(ERROR, f"pci slot {slot.slot}:{slot.func} already occupied!\n")
        self.slots[key] = slot

    def _take_lpc(self, text: str) -> None:
        name, comma, config = text.partition(",")
        if name == "bootrom" and config:
            rom, _, kept = config.partition(",")
            self.line = replace(self.line, bootrom=rom, bootvars=kept or None)
        elif name in {"com1", "com2", "com3", "com4"}:
            uart = Uart(index=int(name[3]) - 1, backend=config if comma else None)
            self.line = replace(self.line, uarts=(*self.line.uarts, uart))
        elif name not in {"pc-testdev", "tpm"}:
            raise Ends(EX_USAGE, f"bhyve: invalid lpc device configuration '{text}'\n")


def usage() -> str:
    return (
        "Usage: bhyve [-AaCDeHhPSuWwxY]\n"
        "             [-c [[cpus=]numcpus][,sockets=n][,cores=n][,threads=n]]\n"
        "             [-G port] [-k config_file] [-l lpc] [-m mem] [-o var=value]\n"
        "             [-p vcpu:hostcpu] [-r file] [-s pci] [-U uuid] vmname\n"
    )


def _cpus(text: str) -> str:
    for word in text.split(","):
        name, equals, value = word.partition("=")
        if equals and name not in {"cpus", "sockets", "cores", "threads"}:
            raise Ends(EX_USAGE, f"bhyve: invalid cpu topology '{text}'\n")
        if not equals or name == "cpus":
            return value if equals else word
    return "1"


def _slot(text: str) -> Slot:
    """pci_parse_slot, usr.sbin/bhyve/pci_emul.c."""
    place, comma, device = text.partition(",")
    numbers = scan_decimals(place, most=3)
    bus, slot, func = {1: (0, *numbers, 0), 2: (0, *numbers), 3: (*numbers,)}.get(
        len(numbers), (0, -1, 0)
    )
    if not comma or not (0 <= bus < 256 and 0 <= slot < 32 and 0 <= func < 8):
        raise Ends(ERROR, f'Invalid PCI slot info field "{text}"\n')
    emulation, more, config = device.partition(",")
    if emulation not in EMULATIONS:
        raise Ends(ERROR, f'pci slot {bus}:{slot}:{func}: unknown device "{emulation}"\n')
    return Slot(bus=bus, slot=slot, func=func, emulation=emulation, config=config if more else None)


def block_path(slot: Slot) -> str:
    """Raises Ends: no path, or a word behind it that means nothing (block_if.c)."""
    path, *words = (slot.config or "").split(",")
    if not path:
        raise Ends(ERROR, f"{slot.emulation}: backing device required\n")
    for word in words:
        if word not in _BLOCK_WORDS and not word.startswith(_BLOCK_VALUES):
            raise Ends(ERROR, f'Invalid device option "{word}"\n')
    return path
