"""What a command line of vfkit comes to. Frozen, nothing opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Linux:
    kernel: str = ""
    initrd: str = ""
    cmdline: str = ""


@dataclass(frozen=True, kw_only=True)
class Efi:
    store: str = ""
    create: bool = False


@dataclass(frozen=True, kw_only=True)
class Device:
    kind: str
    options: Mapping[str, str]  # in order; a word without a value has ""


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    cpus: int = 1
    memory_mib: int = 512
    bootloader: Linux | Efi | None = None
    devices: tuple[Device, ...] = ()
    rest: str = "none://"
    pid_file: str = ""
    others: Mapping[str, str] = field(default_factory=dict)  # flags that change nothing here

    def of_kind(self, kind: str) -> tuple[Device, ...]:
        return tuple(device for device in self.devices if device.kind == kind)
