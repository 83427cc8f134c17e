"""Is this file the kernel, initrd or disk it is said to be? Asked before anything boots it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.errors import BoxError
from vagrantish.files import host_errors
from vagrantish.formats import arm64image, bzimage, initrd, qcow2, sniff
from vagrantish.model import ArtifactKind

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.box.ingest import Staged
    from vagrantish.events import Op

_SIZE_MAX = {
    ArtifactKind.KERNEL: 1 << 30,
    ArtifactKind.INITRD: 4 << 30,
    ArtifactKind.DISK: 16 << 40,
}


def size_limit(kind: ArtifactKind) -> int:
    """Bytes no honest file of that kind exceeds."""
    return _SIZE_MAX[kind]


def checked(item: Staged, *, label: str, cmdline: str, arch: str = "x86_64", op: Op) -> Staged:
    """The same file, with what the look into it told. Raises BoxError, HostError."""
    with host_errors(f"read {item.path}"):
        unpacked = check_artifact(
            item.kind, item.path, label=label, cmdline=cmdline, arch=arch, op=op
        )
    return replace(item, unpacked_bytes=unpacked)


def check_artifact(
    kind: ArtifactKind, path: Path, *, label: str, cmdline: str, arch: str = "x86_64", op: Op
) -> int:
    """Read as much of the file as it takes to know. ``label`` names it for people.

    The answer is how much an initrd unpacks to; 0 for the others. Raises BoxError, and OSError
    when it cannot be read.
    """
    size = path.stat().st_size
    if size > size_limit(kind):
        raise BoxError(f"{label} is too big for a {kind}: {size} bytes")
    if kind is ArtifactKind.KERNEL:
        _check_kernel(path, size, label, cmdline, arch)
    elif kind is ArtifactKind.INITRD:
        return _check_initrd(path, label, op)
    else:
        _check_disk(path, size, label)
    return 0


def disk_format(path: Path) -> str:
    """``"qcow2"`` or ``"raw"``. Raises OSError."""
    with path.open("rb") as file:
        return "qcow2" if file.read(4) == qcow2.MAGIC else "raw"


def kernel_at(path: Path) -> bzimage.Kernel:
    """What its header says. Raises bzimage.KernelError, OSError."""
    with path.open("rb") as file:
        return bzimage.parse(file.read(bzimage.HEAD_BYTES), path.stat().st_size)


def _check_kernel(path: Path, size: int, label: str, cmdline: str, arch: str) -> None:
    with path.open("rb") as file:
        head = file.read(sniff.HEAD_BYTES)
    try:
        most = (
            arm64image.cmdline_max(head, size)
            if arch == "aarch64"
            else bzimage.parse(head, size).cmdline_size
        )
    except (bzimage.KernelError, arm64image.KernelError) as error:
        raise BoxError(
            f"{label} is no kernel vx can boot on {arch}: {error}",
            hint="Give the distribution's vmlinuz as it is.",
        ) from error
    if len(cmdline.encode()) > most:
        raise BoxError(
            f"the command line for {label} has {len(cmdline.encode())} bytes, "
            f"and that kernel takes {most}",
            hint="Shorten `cmdline`.",
        )


def _check_initrd(path: Path, label: str, op: Op) -> int:
    with path.open("rb") as file:
        try:
            return initrd.check(file, alive=op.cancel.check)
        except initrd.InitrdError as error:
            raise BoxError(
                f"{label} is no initrd the kernel could unpack: {error}",
                hint="Copy or download it again.",
            ) from error


def _check_disk(path: Path, size: int, label: str) -> None:
    with path.open("rb") as file:
        head = file.read(sniff.HEAD_BYTES)
    if head.startswith(qcow2.MAGIC):
        try:
            qcow2.check_standalone(head, size)
        except qcow2.Qcow2Error as error:
            raise BoxError(
                f"{label} is no disk vx can use: {error}",
                hint="`qemu-img convert -O qcow2 OLD NEW` makes an image that stands by itself.",
            ) from error
        return
    if size == 0 or size % 512:
        raise BoxError(
            f"{label} is no disk vx can use: it is {sniff.describe(head)}, and a raw disk is a "
            "whole number of 512-byte sectors",
            hint="Give a raw or qcow2 disk image.",
        )
    what = sniff.describe(head)
    if what.endswith("disk image") or what in ("a gzip file", "an xz file", "a zstd file"):
        raise BoxError(
            f"{label} is no disk vx can use: it is {what}",
            hint="Unpack it, or convert it with `qemu-img convert -O qcow2 OLD NEW`.",
        )
