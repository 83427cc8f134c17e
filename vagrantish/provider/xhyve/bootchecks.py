"""What is wrong with what xhyve is to load: kernel and initrd, UEFI, FreeBSD's loader.

xhyve itself has one text for all of it, or crashes (xhyve src/firmware/kexec.c:247-257).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish import bootlimits
from vagrantish.errors import Problem
from vagrantish.formats import bzimage, sniff
from vagrantish.provider import firmware, inputs
from vagrantish.provider.xhyve import cmdline
from vagrantish.provider.xhyve.argv import memory_mib
from vagrantish.provider.xhyve.flavour import Flavour
from vagrantish.units import GIB, MIB, format_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.model import FbsdLoader, VmSpec
    from vagrantish.provider.base import HostFacts

# All that is loaded lies below it, and v0.2.0 breaks above it (machyve/xhyve#37).
_LOW_MAX = 3 * GIB
_ROM_MAX = 16 * MIB  # xhyve src/bootrom.c:48-106
_MACH_O = (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")  # for one processor, for several
_FIRMWARE_HINT = (
    "Name one made for bhyve under [boot]: `firmware`, such as BHYVE_UEFI.fd of FreeBSD's "
    "package bhyve-firmware. That of QEMU does not run there."
)
_USERBOOT_HINT = "Name xhyve's own under [boot]: `userboot`; its source has it as test/userboot.so."
_NO_ACPI = ("acpi=off", "noacpi")
_KERNEL_HINTS = {
    "an ELF file": "Name the compressed kernel it was made into: what distributions call vmlinuz.",
    "an arm64": "Use the x86_64 version of the box.",
    "a compressed EFI": "Name the vmlinuz of a distribution for x86_64.",
    "an EFI program": "Name the kernel it was made of: what distributions call vmlinuz.",
    "an HTML": "Download it again; a browser shows what that address gives.",
    "an empty": "Download or copy it again.",
}
_KERNEL_HINT = "Name a bzImage for x86_64: what distributions call vmlinuz."


def problems(vm: VmSpec, host: HostFacts) -> Iterator[Problem]:
    if host.flavour == Flavour.OLD and vm.memory_bytes > _LOW_MAX:
        yield Problem(
            vm.name,
            f"machine {vm.name} has {format_size(vm.memory_bytes)} of memory, and xhyve v0.2.0 "
            f"breaks above {format_size(_LOW_MAX)}",
            "Lower `memory`, or `brew install --HEAD xhyve`.",
        )
    if vm.firmware is not None:
        yield from _firmware_problems(vm, host, vm.firmware.code)
    elif vm.fbsd is not None:
        yield from _fbsd_problems(vm, host, vm.fbsd)
    elif vm.kernel is None:
        yield Problem(
            vm.name,
            f"machine {vm.name} has nothing to boot from",
            'Name a kernel, or set `mode` under [boot] to "uefi".',
        )
    else:
        yield from _cmdline_problems(vm)
        yield from _kernel_problems(vm, vm.kernel)


def release_of(vm: VmSpec) -> tuple[int, int] | None:
    """The kernel's, as (6, 1); None where it does not tell."""
    if vm.kernel is None:
        return None
    try:
        found = bzimage.parse(*inputs.read_head(vm.kernel, bzimage.HEAD_BYTES))
    except (OSError, bzimage.KernelError):
        return None
    numbers = found.release.split("-")[0].split(".")[:2]
    if len(numbers) < 2 or not all(number.isdecimal() for number in numbers):
        return None
    return int(numbers[0]), int(numbers[1])


def _cmdline_problems(vm: VmSpec) -> Iterator[Problem]:
    words = cmdline.for_kernel(cmdline.words_of(vm.cmdline))
    for word in words:
        if word.strip('"') in _NO_ACPI:
            yield Problem(
                vm.name,
                f"the kernel's command line says {word}: xhyve's guests find their interrupts and "
                "their power button by ACPI, and newer kernels hang without it",
                f"Take {word} out of `cmdline` under [boot], or out of the box's.",
            )
    if vm.cmdline.count('"') % 2:
        yield Problem(
            vm.name,
            f"the kernel's command line has a double quote that is not closed: {vm.cmdline}",
            "Close it, or take it out of `cmdline` under [boot].",
        )
    if "\0" in vm.cmdline:
        yield Problem(vm.name, "the kernel's command line has a zero byte in it", "Take it out.")


def _kernel_problems(vm: VmSpec, path: Path) -> Iterator[Problem]:
    try:
        kernel = bzimage.parse(*inputs.read_head(path, bzimage.HEAD_BYTES))
    except OSError as error:
        if not inputs.comes_later(vm, path):
            yield inputs.unreadable(vm, "kernel", path, error)
        return
    except bzimage.KernelError as error:
        yield Problem(
            vm.name, f"{path} is no kernel that can be booted: {error}", _kernel_hint(str(error))
        )
        return
    size = 0
    if vm.initrd is not None:
        size, wrong = _initrd(vm, vm.initrd)
        if wrong:
            yield wrong
            return
    given = memory_mib(vm) * MIB
    for text in bootlimits.problems(
        kernel, size, cmdline.complete(vm.cmdline), given, bootlimits.Provider.XHYVE
    ):
        hint = "Shorten `cmdline` under [boot]." if "command line" in text else _memory_hint(given)
        yield Problem(vm.name, f"machine {vm.name} cannot boot {path}: {text}", hint)


def _kernel_hint(text: str) -> str:
    kind = text.removeprefix("it is ")
    return next(
        (hint for start, hint in _KERNEL_HINTS.items() if kind.startswith(start)), _KERNEL_HINT
    )


def _memory_hint(given: int) -> str:
    if given >= _LOW_MAX:
        return "Use a smaller initrd, or a kernel that belongs to it."
    return f"Raise `memory`, which is {format_size(given)}."


def _initrd(vm: VmSpec, path: Path) -> tuple[int, Problem | None]:
    """How many bytes it has; 0 for one that is made later."""
    try:
        _, size = inputs.read_head(path, 1)
    except OSError as error:
        if inputs.comes_later(vm, path):
            return 0, None
        return 0, inputs.unreadable(vm, "initrd", path, error)
    if size == 0:
        return 0, Problem(
            vm.name, f"the initrd {path} is an empty file", "Download or copy it again."
        )
    return size, None


def _firmware_problems(vm: VmSpec, host: HostFacts, code: Path | None) -> Iterator[Problem]:
    if host.flavour == Flavour.OLD:
        yield Problem(
            vm.name,
            "xhyve v0.2.0 has no UEFI",
            "Install the later one: `brew install --HEAD xhyve`.",
        )
    if code is None:
        yield Problem(
            vm.name, f"machine {vm.name} boots by UEFI, and none is named for it", _FIRMWARE_HINT
        )
        return
    wrong = firmware.problem(code, is_code=True)
    if not wrong and code.stat().st_size > _ROM_MAX:
        wrong = f"has {code.stat().st_size} bytes, and {format_size(_ROM_MAX)} are the most"
    if wrong:
        yield Problem(vm.name, f"{code} cannot be UEFI's code: it {wrong}", _FIRMWARE_HINT)


def _fbsd_problems(vm: VmSpec, host: HostFacts, loader: FbsdLoader) -> Iterator[Problem]:
    path = loader.userboot
    if path is None:
        yield Problem(
            vm.name,
            f"machine {vm.name} boots by FreeBSD's loader, and none is named for it",
            _USERBOOT_HINT,
        )
        return
    try:
        head, _ = inputs.read_head(path, sniff.HEAD_BYTES)
    except OSError as error:
        yield Problem(
            vm.name,
            f"FreeBSD's loader {path} cannot be read: {error.strerror or error}",
            _USERBOOT_HINT,
        )
        return
    if not head.startswith(_MACH_O):
        yield Problem(
            vm.name,
            f"{path} is no library of macOS, but {_userboot_kind(head)}",
            _USERBOOT_HINT,
        )
    elif runs_as_root(host) and not is_roots(path):
        yield Problem(
            vm.name,
            f"FreeBSD's loader {path} would run as root, and others than root may change it",
            "Copy it to a folder of root's, or make xhyve set-uid: `vx doctor` says how.",
        )


def _userboot_kind(head: bytes) -> str:
    if head.startswith(b"\x7fELF"):
        return "an ELF library, as FreeBSD itself has it"
    return sniff.describe(head)


def runs_as_root(host: HostFacts) -> bool:
    """Whether it stays root after its network card is there, though its user is not."""
    return host.privilege.startswith("sudo")


def is_roots(path: Path) -> bool:
    """Whether nobody but root can put something else in its place."""
    real = path.resolve()
    found = [part.stat() for part in (real, *real.parents)]
    return all(part.st_uid == 0 and not part.st_mode & 0o022 for part in found)
