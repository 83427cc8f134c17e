"""How far a boot is, from the lines a guest writes. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """The steps of a boot, in order."""

    PROGRAM = "program"  # the hypervisor runs; nothing on the console yet
    FIRMWARE = "firmware"
    KERNEL = "kernel"
    INITRD = "initrd"
    ROOT = "root device"
    INIT = "init"
    NETWORK = "network"
    SSHD = "sshd"
    LOGIN = "login"
    FIRST_BOOT = "first boot"

    @property
    def order(self) -> int:
        return _ORDER[self]


_ORDER = {stage: number for number, stage in enumerate(Stage)}


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A stage that a line of the console shows."""

    stage: Stage
    line: str
    at_s: float | None  # since the hypervisor or the kernel started, as far as somebody knows


# Linux and FreeBSD guests, their initrds and inits, and what the micro box says of itself.
_PATTERNS = tuple(
    (stage, re.compile(pattern))
    for stage, pattern in (
        (
            Stage.FIRMWARE,
            r"SeaBIOS|iPXE|UEFI|BdsDxe|GRUB|EFI stub|BTX loader|Loading kernel\.\.\.|Consoles: ",
        ),
        (
            Stage.KERNEL,
            (
                r"Linux version |Decompressing Linux|Booting the kernel|^\[ +0\.\d+\] "
                r"|---<<BOOT>>---|The FreeBSD Project"
            ),
        ),
        (
            Stage.INITRD,
            (
                r"Run /init as init|Loading, please wait|dracut|initramfs|vx: drivers loaded"
                r"|Booting Core|Mounting boot media"
            ),
        ),
        (
            Stage.ROOT,
            (
                r"vx: root is on|VFS: Mounted root|EXT4-fs \(\S+\): mounted |: Ending clean mount"
                r"|BTRFS.*: first mount|Trying to mount root from|Mounted /?sysroot|[Ss]witch(?:ing)?[ _]root"
                r"|Mounting root file system \.\.\. done"
            ),
        ),
        (
            Stage.INIT,
            (
                r"systemd\[1\]: |Welcome to (?!GRUB)|INIT: version|Run /sbin/init|OpenRC|init started"
                r"|vx: root is on|start_init: |^Setting hostname: |^Dual Console: "
            ),
        ),
        (
            Stage.NETWORK,
            (
                r"udhcpc|lease of |DHCPACK|dhclient|Reached target .*[Nn]etwork|cloud-init"
                r"|vx: network up"
            ),
        ),
        (
            Stage.SSHD,
            r"vx: ready ssh|[Ss]tart(?:ed|ing).*(?:OpenSSH|sshd|dropbear)|Generating.*SSH.*host",
        ),
        (Stage.LOGIN, r"(?:^|\s)login: ?(?:\[ *\d+\.\d+\] |$)"),
        (
            Stage.FIRST_BOOT,
            r"[Cc]loud-init v\S* ?\S* finished at|Reached target .*[Cc]loud-init target",
        ),
    )
)


_GIVEN = re.compile(r"[Cc]ommand line: |kernel command line parameters ")


def is_given(line: str) -> bool:
    """Whether the line only repeats what the kernel was told: words that name services, not news."""
    return _GIVEN.search(line) is not None


def stages_of(line: str) -> list[Stage]:
    """The stages a line shows, in order; any line at all shows that firmware or more runs."""
    if is_given(line):
        return [Stage.KERNEL]
    return [stage for stage, pattern in _PATTERNS if pattern.search(line)] or [Stage.FIRMWARE]
