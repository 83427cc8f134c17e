"""What a disk image boots: its kernel, its initrd and the command line to go with them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from vagrantish.box import bootcmdline, bootentries, bootplaces
from vagrantish.files import host_errors
from vagrantish.formats import bls
from vagrantish.formats.device import ImageError
from vagrantish.formats.guesttext import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vagrantish.box.bootentries import Bootable
    from vagrantish.box.bootplaces import BootPlace, Place
    from vagrantish.formats.device import Device
    from vagrantish.formats.volume import Volume

KERNEL_MAX, INITRD_MAX = 512 << 20, 2 << 30
_HEAD_BYTES = 0x240
_SHOWN_MAX = 200
_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")


@dataclass(frozen=True, kw_only=True)
class BootChoice:
    """A kernel of the disk. Paths are in the volume that holds /boot."""

    release: str  # of the kernel: "6.1.0-9-amd64"
    kernel: str
    initrd: str | None
    cmdline: str
    why: str  # for people: "BLS entry abc-6.1.conf, chosen by saved_entry of grubenv"
    arch: str  # "x86_64", "aarch64"; "" when nothing tells
    os_name: str  # as the guest calls itself; "" when it does not


class BootDisk:
    """A disk that was looked at; its device must stay open."""

    def __init__(self, found: tuple[Place, ...], root: Place, boot: BootPlace) -> None:
        self.places = found
        self.root = root
        self.boot = boot

    @property
    def warnings(self) -> tuple[str, ...]:
        """For people, about the file systems that are read."""
        systems = {id(volume.system): volume.system for volume in self._volumes}
        return tuple(dict.fromkeys(w for system in systems.values() for w in system.warnings))

    def choices(self) -> tuple[BootChoice, ...]:
        """The default first. Raises ImageError when there is no kernel, or the disk is damaged."""
        return self._choices

    def extract(
        self,
        choice: BootChoice,
        what: Literal["kernel", "initrd"],
        target: Path,
        *,
        alive: Callable[[], None],
    ) -> None:
        """Write it to ``target``, which must not exist; nothing is left there on failure.

        ``alive`` is called often, and may raise to stop. Raises ImageError, HostError.
        """
        path = choice.kernel if what == "kernel" else choice.initrd
        if path is None:
            raise ImageError(f"{choice.kernel} boots without an initrd")
        most = KERNEL_MAX if what == "kernel" else INITRD_MAX
        with host_errors(f"write {target}"):
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    for chunk in self.boot.volume.chunks(path, most=most):
                        alive()
                        file.write(chunk)
            except BaseException:
                target.unlink(missing_ok=True)
                raise

    @cached_property
    def _choices(self) -> tuple[BootChoice, ...]:
        efi = tuple(bootplaces.efi_folders(self.places))
        found = bootentries.bootables(self.boot, self._root_volume, efi)
        if not found:
            raise ImageError(
                f"no kernel was found in it: /boot ({self._where}) holds no vmlinuz file"
            )
        arch = self._arch(found[0])
        os_name = _shown(_os_name(self._root_volume))
        modules = self._root_volume.names("/lib/modules")
        return tuple(
            BootChoice(
                release=_shown(_release(bootable.version, modules)),
                kernel=bootable.kernel,
                initrd=bootable.initrd,
                cmdline=bootcmdline.make(
                    bootable.options, self.root, has_initrd=bootable.initrd is not None
                ),
                why=_shown(bootable.why),
                arch=arch,
                os_name=os_name,
            )
            for bootable in found
        )

    @property
    def _root_volume(self) -> Volume:
        assert self.root.volume is not None
        return self.root.volume

    @property
    def _volumes(self) -> tuple[Volume, ...]:
        return (self._root_volume, self.boot.volume)

    @property
    def _where(self) -> str:
        partition = self.boot.place.partition
        return f"on partition {partition.number}" if partition else "on the whole disk"

    def _arch(self, bootable: Bootable) -> str:
        """From the header of the kernel, else from the system around it."""
        chunks = self.boot.volume.chunks(bootable.kernel, most=KERNEL_MAX)
        head = next(chunks, b"")[:_HEAD_BYTES].ljust(_HEAD_BYTES, b"\0")
        # Only since boot protocol 2.12 does a bzImage tell whether it is for 64 bits.
        if head[0x202:0x206] == b"HdrS" and head[0x206:0x208][::-1] >= b"\x02\x0c":
            return "x86_64" if head[0x236] & 1 else "i686"
        if head[0x38:0x3C] == b"ARM\x64":
            return "aarch64"
        return bootplaces.architecture(self.root)


def look(device: Device, *, root: str = "") -> BootDisk:
    """``root`` names the partition of the system as after ``root=``; "" finds it.

    Raises ImageError when there is none, or the disk is damaged; OSError.
    """
    found = bootplaces.places(device)
    chosen = bootplaces.find_root(found, root)
    return BootDisk(found, chosen, bootplaces.find_boot(chosen, found))


def _shown(text: str) -> str:
    """A terminal shows it and obeys none of it: whoever made the disk wrote it."""
    return printable(text.encode("utf-8", "replace"))[:_SHOWN_MAX]


def _release(version: str, modules: tuple[str, ...]) -> str:
    """What the kernel calls itself: where a file's name has only a flavour, as "virt", its folder
    of modules has the rest."""
    if any(letter.isdigit() for letter in version):
        return version
    fitting = [name for name in modules if name.endswith(f"-{version}")] or list(modules)
    return max(fitting, key=bls.version_key, default=version)


def _os_name(root: Volume) -> str:
    for path in _OS_RELEASE:
        if root.is_file(path):
            for line in root.read(path).decode("utf-8", "replace").splitlines():
                if line.startswith("PRETTY_NAME="):
                    return line.partition("=")[2].strip().strip("\"'")[:200]
    return ""
