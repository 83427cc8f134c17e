"""What is wrong with a machine for xhyve, before it is started."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vagrantish.errors import Problem
from vagrantish.formats import bzimage
from vagrantish.paths import SOCKET_PATH_MAX
from vagrantish.provider.xhyve.argv import DISKS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.model import VmSpec
    from vagrantish.provider.base import HostFacts

_CPUS_MAX = 16
_HEAD = 64 << 10


def problems(vm: VmSpec, _host: HostFacts, *, provider: str) -> Iterator[Problem]:
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
    if len(vm.disks) > DISKS_MAX:
        yield Problem(
            vm.name,
            f"machine {vm.name} has {len(vm.disks)} disks, and {provider} takes {DISKS_MAX}",
            "Take some out.",
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
    if vm.kernel is not None:
        yield from _kernel_problems(vm, vm.kernel)
    for disk in vm.disks:
        if disk.format != "raw":
            yield Problem(
                vm.name,
                f"disk {disk.path} has the format {disk.format}, and {provider} takes raw ones only",
                f"Convert it: `qemu-img convert -O raw {disk.path} NEW`.",
            )


def _kernel_problems(vm: VmSpec, kernel: Path) -> Iterator[Problem]:
    try:
        with kernel.open("rb") as file:
            bzimage.parse(file.read(_HEAD), kernel.stat().st_size)
    except OSError as error:
        wrong = error.strerror or str(error)
    except bzimage.KernelError as error:
        wrong = str(error)
    else:
        return
    yield Problem(
        vm.name,
        f"{kernel} is no kernel that can be booted: {wrong}",
        "Name a bzImage for x86_64: what distributions call vmlinuz.",
    )
