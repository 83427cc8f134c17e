"""Do the kernel, the initrd and the command line of a box fit together, and into its memory?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish import bootlimits
from vagrantish.bootlimits import Provider
from vagrantish.box import bootcmdline, checks
from vagrantish.errors import BoxError
from vagrantish.files import host_errors
from vagrantish.model import ArtifactKind
from vagrantish.units import format_size, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from vagrantish.box.ingest import Staged, StagedExtension
    from vagrantish.events import Op
    from vagrantish.formats.bzimage import Kernel
    from vagrantish.model import Box


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What is loaded into a machine's memory."""

    kernel: Path  # one that passed `checks.checked`
    initrd_bytes: int = 0
    unpacked_bytes: int = 0  # of the initrd; 0 where that is not known
    cmdline: str = ""


def check_box(box: Box, staged: Iterable[Staged | StagedExtension], op: Op) -> None:
    """Before ``box`` goes into the store. Raises BoxError, HostError; warns of what is in doubt."""
    from vagrantish.box.ingest import Staged

    items = {item.kind: item for item in staged if isinstance(item, Staged)}
    if box.arch != "x86_64" or ArtifactKind.KERNEL not in items:
        return
    initrd = items.get(ArtifactKind.INITRD)
    parts = Parts(
        kernel=items[ArtifactKind.KERNEL].path,
        initrd_bytes=initrd.size_bytes if initrd else 0,
        unpacked_bytes=initrd.unpacked_bytes if initrd else 0,
        cmdline=bootcmdline.merged(box.disk_cmdline, box.cmdline),
    )
    check(parts, label=box.label, memory=str(box.defaults.get("memory", "")), op=op)


def check(parts: Parts, *, label: str, memory: str = "", op: Op) -> None:
    """``memory`` is what machines of it get when nobody says otherwise; "" if that is not known.

    Raises BoxError, HostError.
    """
    with host_errors(f"read {parts.kernel}"):
        kernel = checks.kernel_at(parts.kernel)
    by_provider = {
        provider: bootlimits.problems(kernel, parts.initrd_bytes, parts.cmdline, None, provider)
        for provider in Provider
    }
    if all(by_provider.values()):
        raise BoxError(
            f"{label} cannot be booted: {by_provider[Provider.QEMU][0]}",
            hint="Give a kernel and initrd that belong together, as the distribution has them.",
        )
    for provider, problems in by_provider.items():
        if problems:
            op.warn(f"{provider} cannot boot {label}: {problems[0]}")
    if memory and (doubt := _too_little(kernel, parts, memory)):
        op.warn(f"{label} asks for {memory} of memory, and that is too little: {doubt}")


def _too_little(kernel: Kernel, parts: Parts, memory: str) -> str:
    try:
        have = parse_size(memory)
    except ValueError:  # told with the other settings, where the box is used
        return ""
    problems = bootlimits.problems(kernel, parts.initrd_bytes, "", have, Provider.QEMU)
    if problems:
        return problems[0]
    needed = bootlimits.memory_needed(kernel, parts.initrd_bytes, parts.unpacked_bytes)
    if needed <= have:
        return ""
    return (
        f"its kernel and its initrd, packed ({format_size(parts.initrd_bytes)}) and unpacked "
        f"({format_size(parts.unpacked_bytes)}), fill {format_size(needed)}"
    )
