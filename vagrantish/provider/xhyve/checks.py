"""What is wrong with a machine for xhyve, before it is started."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from vagrantish.errors import Problem, ProviderError
from vagrantish.paths import SOCKET_PATH_MAX
from vagrantish.provider import inputs
from vagrantish.provider.xhyve import bootchecks, extra, privilege
from vagrantish.provider.xhyve.argv import DISKS_MAX, memory_mib, slots_of
from vagrantish.provider.xhyve.flavour import Flavour

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vagrantish.model import VmSpec
    from vagrantish.provider.base import HostFacts

_CPUS_MAX = 16
_MEMORY_MIN_MIB = 2  # xhyve's own tables lie in the first (xhyve src/mptbl.c:312)
# xhyve refuses a fourth group that begins with e or f without a word
# (xhyve include/xhyve/support/uuid.h:94-153).
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-d][0-9a-f]{3}-[0-9a-f]{12}")
_NEW_KERNEL = (4, 10)  # machyve/xhyve#89


def problems(vm: VmSpec, host: HostFacts, *, provider: str) -> Iterator[Problem]:
    yield from _kind_problems(vm, host, provider)
    yield from _machine_problems(vm, provider)
    yield from bootchecks.problems(vm, host)
    yield from _disk_problems(vm, host, provider)
    yield from _extra_problems(vm, host, provider)


def check(vm: VmSpec, host: HostFacts, *, provider: str) -> None:
    """Once more when all of the machine's own files are made: xhyve loads an initrd that is too big
    over the kernel without a word. Raises ProviderError."""
    found = tuple(problems(vm, host, provider=provider))
    if found:
        raise ProviderError(
            "\n".join(problem.message for problem in found),
            hint=" ".join(dict.fromkeys(problem.hint for problem in found if problem.hint)),
        )


def warnings(vm: VmSpec, host: HostFacts) -> tuple[str, ...]:
    """What may go wrong, and is not sure to."""
    found = []
    if host.flavour == Flavour.OLD:
        found.append(
            f"{host.program} is xhyve v0.2.0, of 2015: `brew install --HEAD xhyve` brings its "
            "later fixes"
        )
        release = bootchecks.release_of(vm)
        if release is not None and release >= _NEW_KERNEL:
            found.append(
                f"kernel {release[0]}.{release[1]} hardly starts in xhyve v0.2.0: from 4.10 on "
                "they need the later one"
            )
    if vm.firmware is not None and vm.firmware.vars is not None:
        found.append("xhyve keeps no UEFI variables: the guest finds them as new at each start")
    for disk in vm.disks:
        size = os.path.getsize(disk.path) if os.path.isfile(disk.path) else 0
        if size % 512:
            found.append(f"the last {size % 512} bytes of disk {disk.path} are no whole sector")
    return tuple(found)


def _kind_problems(vm: VmSpec, host: HostFacts, provider: str) -> Iterator[Problem]:
    is_hyperkit = host.flavour == Flavour.HYPERKIT
    if is_hyperkit != (provider == Flavour.HYPERKIT):
        kind = "hyperkit" if is_hyperkit else "xhyve"
        yield Problem(
            vm.name,
            f"{host.program} is {kind}, whose statuses are not {provider}'s",
            f'Set `provider = "{kind}"`, and its `binary` under [{kind}].',
        )


def _machine_problems(vm: VmSpec, provider: str) -> Iterator[Problem]:
    if vm.arch != "x86_64":
        yield Problem(
            vm.name,
            f"machine {vm.name} is for {vm.arch}: {provider} runs x86_64 guests only",
            "Use the x86_64 version of the box.",
        )
    if not 1 <= vm.cpus <= _CPUS_MAX:
        yield Problem(
            vm.name,
            f"machine {vm.name} wants {vm.cpus} processors, and {provider} gives 1 to {_CPUS_MAX}",
            "Change `cpus`.",
        )
    if memory_mib(vm) < _MEMORY_MIN_MIB:
        yield Problem(
            vm.name,
            f"machine {vm.name} has {vm.memory_bytes} bytes of memory, and {provider} needs "
            f"{_MEMORY_MIN_MIB} MiB for itself",
            "Raise `memory`.",
        )
    if not _UUID.fullmatch(vm.uuid.lower()):
        yield Problem(
            vm.name,
            f'the UUID of machine {vm.name}, "{vm.uuid}", is one that {provider} refuses',
            f"Make it anew: `vx destroy {vm.name}`, then `vx up {vm.name}`.",
        )
    if "," in str(vm.layout.directory):
        yield Problem(
            vm.name,
            f"the path {vm.layout.directory} has a comma in it, at which {provider} splits",
            "Point VX_HOME at a folder without one.",
        )
    if len(os.fsencode(vm.layout.console_socket)) > SOCKET_PATH_MAX:
        yield Problem(
            vm.name,
            f"the path {vm.layout.console_socket} is too long for a socket",
            "Point VX_HOME at a folder with a shorter path.",
        )


def _disk_problems(vm: VmSpec, host: HostFacts, provider: str) -> Iterator[Problem]:
    if len(vm.disks) > DISKS_MAX:
        yield Problem(
            vm.name,
            f"machine {vm.name} has {len(vm.disks)} disks, and {provider} takes {DISKS_MAX}",
            "Take some out.",
        )
    yield from inputs.raw_problems(vm, provider)
    for disk in vm.disks:
        if inputs.comes_later(vm, disk.path):
            continue
        wrong = inputs.disk_use_problem(
            disk.path, readonly=disk.readonly, devices=host.flavour == Flavour.HYPERKIT
        )
        if wrong:
            # xhyve would open it read-only, and its guest would not know (src/block_if.c:473-477).
            yield Problem(
                vm.name, f"disk {disk.path} of machine {vm.name} {wrong}", inputs.CHECK_FILE
            )


def _twice_problems(vm: VmSpec, used: Iterable[extra.Use]) -> Iterator[Problem]:
    """Nothing keeps one machine from writing a disk from two sides (xhyve locks none)."""
    written = [str(disk.path) for disk in vm.disks if not disk.readonly]
    written += [use.path for use in used if use.is_disk and use.write]
    real = [os.path.realpath(path) for path in written]
    for path in sorted({path for path in real if real.count(path) > 1}):
        yield Problem(
            vm.name,
            f"machine {vm.name} has the disk {path} twice, and would write it from two sides",
            "Take one out.",
        )


def _extra_problems(vm: VmSpec, host: HostFacts, provider: str) -> Iterator[Problem]:
    options = vm.hyperkit if provider == Flavour.HYPERKIT else vm.xhyve
    where = f"`extra_args` under [{provider}]"
    try:
        used = extra.uses(options.extra_args, Flavour(host.flavour), slots_of(vm))
        rooted = extra.needs_root(options.extra_args)
    except extra.Refusal as refusal:
        yield Problem(vm.name, f"{where}: {refusal}", f"Correct {where}.")
        yield from _twice_problems(vm, ())
        return
    yield from _twice_problems(vm, used)
    is_root = host.privilege in (privilege.SETUID, privilege.SUDO, privilege.TICKET)
    if is_root and rooted:
        yield Problem(
            vm.name,
            f"{where}: {rooted} would do as root what vx cannot tell",
            f"Take it out of {where}.",
        )
    for use in used:
        wrong = _use_problem(use, Flavour(host.flavour), as_root=is_root)
        if wrong:
            yield Problem(
                vm.name, f"{where}: {use.path} in {use.what} {wrong}", f"Correct {where}."
            )


def _use_problem(use: extra.Use, flavour: Flavour, *, as_root: bool) -> str:
    """What root may do to a file, its user must be allowed himself: a stranger wrote the project."""
    path = Path(use.path)
    if not path.is_absolute():
        return "is no absolute path: the hypervisor runs in another folder"
    if use.is_disk:
        is_hyperkit = flavour is Flavour.HYPERKIT
        kind = "" if is_hyperkit else inputs.disk_image(path)
        wrong = inputs.disk_use_problem(path, readonly=not use.write, devices=is_hyperkit)
        return wrong or (f"is {kind}, and xhyve takes raw ones only" if kind else "")
    if not as_root:
        return ""
    there = path if os.path.lexists(path) else path.parent
    return "" if os.access(there, os.W_OK) else "may not be written by you, and root would do it"
