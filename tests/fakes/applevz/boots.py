"""The machine of a vfkit command line in xhyve's words, which is what boots here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fakes.applevz.model import Linux
from tests.fakes.hyve import model as hyve

if TYPE_CHECKING:
    from tests.fakes.applevz.model import CommandLine

_NIC = hyve.Slot(bus=0, slot=2, func=0, emulation="virtio-net", config=None)
_MAC = "5a:94:ef:00:00:01"


def as_xhyve(line: CommandLine) -> tuple[hyve.CommandLine, dict[hyve.Slot, str]]:
    """The same machine in xhyve's words, which is what boots here."""
    assert isinstance(line.bootloader, Linux)
    slots = [
        hyve.Slot(bus=0, slot=4 + index // 8, func=index % 8, emulation="virtio-blk",
                  config=disk.options["path"])
        for index, disk in enumerate(line.of_kind("virtio-blk"))
    ]  # fmt: skip
    slots.append(hyve.Slot(bus=0, slot=31, func=0, emulation="lpc", config=None))
    if line.of_kind("virtio-rng"):
        slots.append(hyve.Slot(bus=0, slot=3, func=0, emulation="virtio-rnd", config=None))
    cards = line.of_kind("virtio-net")
    macs = {_NIC: cards[0].options.get("mac", _MAC)} if cards else {}
    cmdline, is_heard = _translated(line.bootloader.cmdline)
    uarts = (hyve.Uart(index=0, backend=None),) if is_heard else ()
    return (
        hyve.CommandLine(
            prog="vfkit",
            cpus=line.cpus,
            memory_bytes=line.memory_mib << 20,
            acpi=True,
            utc=True,
            firmware=hyve.Firmware(
                loader="kexec",
                kernel=line.bootloader.kernel,
                initrd=line.bootloader.initrd,
                cmdline=cmdline,
            ),
            slots=(*macs, *sorted(slots, key=lambda slot: (slot.slot, slot.func))),
            uarts=uarts,
        ),
        macs,
    )


def _translated(cmdline: str) -> tuple[str, bool]:
    words = cmdline.split()
    consoles = [word for word in words if word.startswith("console=")]
    is_heard = bool(consoles) and consoles[-1] == "console=hvc0"
    return " ".join("console=ttyS0" if w == "console=hvc0" else w for w in words), is_heard
