"""What a guest's serial console says about its boot: stage, readiness, cause of failure. Pure."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from vagrantish.formats.guesttext import printable

__all__ = ["Console", "Failure", "Stage", "printable"]

_LINES_KEPT = 200
_LINE_MAX = 4096  # bytes of a line that are looked at; a guest may never end one


class Stage(StrEnum):
    """How far a boot is, in order."""

    STARTED = "started"  # nothing on the console yet
    FIRMWARE = "firmware"
    KERNEL = "kernel"
    INITRD = "initrd"
    INIT = "init"
    NETWORK = "network"
    SSHD = "sshd"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a guest will not come up."""

    message: str
    hint: str


_STAGES = tuple(
    (stage, re.compile(pattern))
    for stage, pattern in (
        (Stage.FIRMWARE, r"SeaBIOS|iPXE|UEFI|BdsDxe|GRUB|EFI stub"),
        (Stage.KERNEL, r"Linux version |Decompressing Linux|Booting the kernel|^\[ +0\.\d+\] "),
        (
            Stage.INITRD,
            (
                r"Run /init as init|Loading, please wait|dracut|initramfs|vx: drivers loaded"
                r"|Booting Core"
            ),
        ),
        (
            Stage.INIT,
            (
                r"systemd\[1\]: |Welcome to |INIT: version|Run /sbin/init|OpenRC|init started"
                r"|vx: root is on"
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
            (
                r"vx: ready ssh|[Ss]tart(?:ed|ing).*(?:OpenSSH|sshd|dropbear)|Generating.*SSH.*host"
                r"| login: ?$"
            ),
        ),
    )
)
_ORDER = {stage: number for number, stage in enumerate(Stage)}

_PANIC = re.compile(r"Kernel panic - not syncing: (.*)|---\[ end Kernel panic(?: - not syncing: )?")
_VX_FAILED = re.compile(r"vx: failed: (.*)")
_SHELL = re.compile(
    r"^\(initramfs\)|^dracut:/#|^:/#|Entering emergency mode|You are in emergency mode"
    r"|Give root password for maintenance|Cannot open access to console, the root account is locked"
    r"|Dropping to (?:a|an emergency) shell"
)

_MORE_MEMORY = 'Give the machine more memory: `memory = "1GiB"` in the Xhyvefile.'
_ROOT_HINT = (
    "The kernel has no driver for the root disk, or root= names another: check `boot.cmdline` "
    "and the box's initrd."
)
# What explains a failure, wherever it stands before it; the first that matches counts.
_CAUSES = tuple(
    (re.compile(pattern), hint)
    for pattern, hint in (
        (
            (
                r"Initramfs unpacking failed: write error|Out of memory|deadlocked on memory"
                r"|No space left on device.*initr"
            ),
            _MORE_MEMORY,
        ),
        (
            (
                r"Initramfs unpacking failed|invalid magic at start of compressed|"
                r"crc error|uncompression error|(?:ZSTD|LZ4|XZ)[- ]compressed data is corrupt"
            ),
            (
                "The initrd is damaged or of a compression this kernel cannot read: "
                "`vx box info` shows what the box is made of."
            ),
        ),
        (
            (
                r"VFS: Cannot open root device|Unable to mount root fs|ALERT! .* does not exist"
                r"|Warning: /dev/\S+ does not exist|Timed out waiting for device"
            ),
            _ROOT_HINT,
        ),
        (
            r"No working init found|Requested init \S+ failed|Failed to execute /init",
            (
                "The initrd or root file system has no /init (or what init= names) that this kernel "
                "can run: check `boot.cmdline` and the box."
            ),
        ),
        (
            r"Attempted to kill init!",
            "The guest's first program ended; the lines above its end say why.",
        ),
    )
)
_ANY_HINT = "`vx logs` shows all the guest said."


class Console:
    """Reads a console as it grows. Untrusted: bounded whatever the guest writes."""

    def __init__(self) -> None:
        self.stage = Stage.STARTED
        self.ready = False  # the guest's first-boot script said that sshd listens; only a hint
        self.failure: Failure | None = None
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._partial = b""
        self._hint = ""

    def feed(self, data: bytes) -> None:
        *whole, self._partial = (self._partial + data).split(b"\n")
        for raw in whole:
            line = printable(raw[-_LINE_MAX:])
            self._lines.append(line)
            self._read(line)
            if self.failure is None:
                self.failure = self._failure(line)
        self._partial = self._partial[-_LINE_MAX:]
        if self._partial:
            # A prompt ends no line; anything else may still be half a line.
            prompt = printable(self._partial)
            self._read(prompt)
            if self.failure is None and _SHELL.search(prompt):
                self.failure = self._failure(prompt)

    def last_lines(self, count: int) -> tuple[str, ...]:
        """The last lines with something on them, the unfinished one too."""
        lines = [*self._lines, printable(self._partial)]
        return tuple([line for line in lines if line.strip()][-count:])

    def _read(self, line: str) -> None:
        if not line.strip():
            return
        self.ready = self.ready or "vx: ready ssh" in line
        reached = Stage.FIRMWARE
        for stage, pattern in _STAGES:
            if pattern.search(line):
                reached = stage
        if _ORDER[reached] > _ORDER[self.stage]:
            self.stage = reached
        if not self._hint:
            self._hint = next((hint for pattern, hint in _CAUSES if pattern.search(line)), "")

    def _failure(self, line: str) -> Failure | None:
        hint = self._hint or _ANY_HINT
        if panic := _PANIC.search(line):
            reason = (panic[1] or "").strip() or "no reason given"
            return Failure(message=f"the guest's kernel panicked: {reason}", hint=hint)
        if failed := _VX_FAILED.search(line):
            return Failure(message=f"the guest could not start: {failed[1].strip()}", hint=hint)
        if _SHELL.search(line):
            return Failure(
                message="the guest gave up booting and waits in an emergency shell", hint=hint
            )
        return None
