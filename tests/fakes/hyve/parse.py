"""The command line of xhyve, read as xhyve reads it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.fakes.hyve import texts
from tests.fakes.hyve.cscan import BadOption, atoi, basename, options, scan_decimals, strtoul
from tests.fakes.hyve.model import CommandLine, Firmware, Flavour, Slot, Uart

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1 << 20
EX_USAGE = 64

LETTERS = {
    Flavour.HEAD: "behvuwxMACHPWY:f:F:g:c:s:m:l:U:",
    Flavour.OLD: "behvuwxACHPWY:f:g:c:s:m:l:U:",
    Flavour.HYPERKIT: "behvuwxMACHPWY:f:F:g:c:s:m:l:U:",
}
_COMMON = frozenset({
    "hostbridge", "amd_hostbridge", "lpc", "virtio-net", "virtio-tap", "virtio-blk", "ahci-hd",
    "ahci-cd", "virtio-rnd", "uart", "dummy",
})  # fmt: skip
EMULATIONS = {
    Flavour.HEAD: _COMMON | {"e1000", "fbuf"},
    Flavour.OLD: _COMMON | {"e1000", "fbuf"},
    Flavour.HYPERKIT: _COMMON | {"virtio-9p", "virtio-sock", "virtio-vpnkit"},
}
LOADERS = {
    Flavour.HEAD: ("kexec", "fbsd"),
    Flavour.OLD: ("kexec", "fbsd"),
    Flavour.HYPERKIT: ("kexec", "fbsd", "bootrom", "multiboot"),
}
_SHIFTS = {"e": 60, "p": 50, "t": 40, "g": 30, "m": 20, "k": 10, "b": 0, "": 0}
_FLAGS = {
    "A": {"acpi": True},
    "u": {"utc": True},
    "M": {"print_mac": True},
    "W": {"msi_x": False},
    "Y": {"mptable": False},
}
_WORDS = {"F": "pid_file", "U": "uuid"}


class Ends(Exception):
    """The program ends with this status, having printed this."""

    def __init__(self, status: int, err: str = "", out: str = "") -> None:
        super().__init__(status, err, out)
        self.status, self.err, self.out = status, err, out


@dataclass
class _Parsing:
    line: CommandLine
    flavour: Flavour
    slots: dict[tuple[int, int, int], Slot] = field(default_factory=dict)
    uarts: dict[int, Uart] = field(default_factory=dict)


def parse(argv: Sequence[str], flavour: Flavour) -> CommandLine:
    """Raises Ends where xhyve would end before it makes a VM."""
    prog = basename(argv[0])
    now = _Parsing(CommandLine(prog=prog), flavour)
    try:
        for letter, value in options(argv, LETTERS[flavour]):
            _take(now, letter, value or "")
    except BadOption as error:
        raise _usage(prog, flavour, err=f"{error}\n") from error
    if now.line.firmware is None and now.line.bootrom is None:
        raise _usage(prog, flavour)
    return replace(
        now.line,
        slots=tuple(now.slots[place] for place in sorted(now.slots)),
        uarts=tuple(now.uarts[index] for index in sorted(now.uarts)),
    )


def _take(now: _Parsing, letter: str, value: str) -> None:
    line, flavour = now.line, now.flavour
    if letter == "h":
        raise Ends(0, err=texts.help_of(line.prog, flavour))
    if letter == "v":
        version = texts.version(line.prog, flavour)
        hyperkit = flavour is Flavour.HYPERKIT
        raise Ends(0, out=version) if hyperkit else Ends(0, err=version)
    if letter == "M" and flavour is Flavour.HYPERKIT:
        # In its option string, in no case of its switch (hyperkit src/hyperkit.c, main).
        raise _usage(line.prog, flavour)
    if letter == "s":
        slot = slot_of(value, flavour, taken=now.slots)
        now.slots[slot.bus, slot.slot, slot.func] = slot
    elif letter == "l":
        _take_lpc(now, value)
    else:
        now.line = replace(line, **_changes(line, letter, value, flavour))


def _changes(line: CommandLine, letter: str, value: str, flavour: Flavour) -> dict[str, Any]:
    match letter:
        case "c":
            return {"cpus": atoi(value)}
        case "m":
            return {"memory_bytes": memory_bytes(value, line.prog)}
        case "f":
            return {"firmware": firmware_of(value, flavour)}
        case "F" | "U":
            return {_WORDS[letter]: value}
    return _FLAGS.get(letter) or {"ignored": (*line.ignored, f"-{letter}{value}")}


def memory_bytes(text: str, prog: str) -> int:
    """xhyve src/xhyve.c:649-727."""
    number, rest, overflow = strtoul(text)
    if text and not rest:
        return number * MIB if number < MIB else number
    shift = _SHIFTS.get(rest[:1].lower())
    if overflow or shift is None or number << shift > 2**64 - 1:
        raise Ends(EX_USAGE, err=f"{prog}: invalid memsize '{text}'\n")
    return number << shift


def slot_of(text: str, flavour: Flavour, *, taken: dict[tuple[int, int, int], Slot]) -> Slot:
    """xhyve src/pci_emul.c:158-217."""
    place, comma, device = text.partition(",")
    numbers = scan_decimals(place, most=3)
    if len(numbers) < 3:  # what stands alone is the slot, and two are slot and function
        numbers = [0, *(numbers or [-1]), 0]
    bus, slot, func = numbers[:3]
    if not comma or not (0 <= bus <= 255 and 0 <= slot <= 31 and 0 <= func <= 7):
        raise Ends(1, err=f'Invalid PCI slot info field "{text}"\n')
    emulation, comma, config = device.partition(",")
    if (bus, slot, func) in taken:
        raise Ends(1, err=f"pci slot {slot}:{func} already occupied!\n")
    if emulation not in EMULATIONS[flavour]:
        raise Ends(1, err=f'pci slot {slot}:{func}: unknown device "{emulation}"\n')
    return Slot(
        bus=bus, slot=slot, func=func, emulation=emulation, config=config if comma else None
    )


def _take_lpc(now: _Parsing, text: str) -> None:
    device, comma, backend = text.partition(",")
    given = backend if comma else None
    name = device.lower() if device.isascii() else device
    if name in {"com1", "com2"}:
        index = int(name[3]) - 1
        now.uarts[index] = Uart(index=index, backend=given)
    elif name == "bootrom" and now.flavour is Flavour.HEAD:
        now.line = replace(now.line, bootrom=given)
    else:
        raise Ends(EX_USAGE, err=f"{now.line.prog}: invalid lpc device configuration '{text}'\n")


def firmware_of(text: str, flavour: Flavour) -> Firmware:
    """xhyve src/xhyve.c:729-784, hyperkit src/hyperkit.c:734-795."""
    loader = next((name for name in LOADERS[flavour] if text.startswith(name)), None)
    fields = text.split(",", 3)[1:]
    if flavour is Flavour.HYPERKIT:
        needed = 2 if loader == "fbsd" else 1
        whole = len(fields) >= needed and all(fields[:needed])
    else:
        whole = len(fields) == 3
    if loader is None or not whole:
        raise Ends(1, err=texts.FIRMWARE_SYNTAX[flavour])
    kernel, initrd, cmdline = (*fields, "", "")[:3]
    if loader == "kexec":
        cmdline = cmdline or "auto"
    return Firmware(loader=loader, kernel=kernel, initrd=initrd, cmdline=cmdline)


def _usage(prog: str, flavour: Flavour, err: str = "") -> Ends:
    usage = texts.usage(prog, flavour)
    if flavour is Flavour.HYPERKIT:
        return Ends(1, err=err, out=usage)
    return Ends(1, err=err + usage)
