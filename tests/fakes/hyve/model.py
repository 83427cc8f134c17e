"""What a command line of xhyve comes to. Frozen, nothing opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Flavour(StrEnum):
    HEAD = "head"
    OLD = "v0.2.0"
    HYPERKIT = "hyperkit"


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One ``-s``."""

    bus: int
    slot: int
    func: int
    emulation: str  # as written: names are case-sensitive
    config: str | None  # all after the second comma; None: there was none


@dataclass(frozen=True, kw_only=True)
class Uart:
    """``-l com1`` or ``com2``."""

    index: int  # 0 or 1
    backend: str | None  # None: its output is thrown away


@dataclass(frozen=True, kw_only=True)
class Firmware:
    """``-f``. For fbsd: kernel is userboot, initrd the boot volume, cmdline the environment."""

    loader: str  # "kexec", "fbsd"; of hyperkit "bootrom" and "multiboot" too
    kernel: str
    initrd: str
    cmdline: str


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    prog: str  # what messages begin with: the base name of argv[0]
    cpus: int = 1
    memory_bytes: int = 256 << 20
    acpi: bool = False
    utc: bool = False
    mptable: bool = True
    msi_x: bool = True
    print_mac: bool = False
    uuid: str | None = None
    pid_file: str | None = None
    firmware: Firmware | None = None
    bootrom: str | None = None
    slots: tuple[Slot, ...] = ()  # ascending: the order devices are started in
    uarts: tuple[Uart, ...] = ()
    ignored: tuple[str, ...] = field(default=())  # flags that change nothing here
