"""What boots a machine: a kernel of the host's, UEFI, or FreeBSD's loader."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vagrantish.errors import BoxError, ProviderError
from vagrantish.model import ArtifactKind, BootMode, FbsdLoader, Firmware, SeedKind
from vagrantish.provider import firmware

if TYPE_CHECKING:
    from vagrantish.events import Op
    from vagrantish.model import Box, MachineConfig
    from vagrantish.paths import MachineLayout
    from vagrantish.provider.base import Provider

_NAMES = {
    BootMode.KERNEL: "a kernel from this computer",
    BootMode.UEFI: "UEFI",
    BootMode.FBSD: "FreeBSD's own loader",
}


def check(machine: MachineConfig, box: Box, provider: Provider) -> None:
    """Whether box, settings and provider go together. Raises BoxError, ProviderError."""
    mode = machine.boot.mode
    modes = provider.capabilities.boot_modes
    if mode not in modes:
        others = " or ".join(f'"{mode}"' for mode in modes)
        raise ProviderError(
            f"the {provider.name} provider boots no machine by {_NAMES[mode]}",
            hint=f"Set `mode` under [boot] to {others}, or take another provider.",
        )
    if mode is BootMode.KERNEL:
        if ArtifactKind.KERNEL not in box.artifacts:
            raise BoxError(
                f"{box.named} has no kernel vx could start: it boots by {_NAMES[box.boot]}",
                hint=f'Set `mode = "{box.boot}"` under [boot].',
            )
        return
    if ArtifactKind.DISK not in box.artifacts:
        raise BoxError(
            f"{box.named} has no disk that {_NAMES[mode]} could boot",
            hint='Set `mode = "kernel"` under [boot], or take a box with an installed disk.',
        )
    if box.seed in (SeedKind.OVERLAY, SeedKind.TINYCORE):
        raise BoxError(
            f"{box.named} takes its keys from an addition to its initrd, "
            f"which is not loaded when {_NAMES[mode]} boots it",
            hint='Set `mode = "kernel"` under [boot].',
        )
    _check_vars(machine)


def _check_vars(machine: MachineConfig) -> None:
    template = machine.boot.firmware_vars
    wrong = firmware.problem(template, is_code=False) if template is not None else ""
    if wrong and machine.boot.mode is BootMode.UEFI:
        raise ProviderError(
            f"the UEFI variables {template} {wrong}",
            hint="Correct `firmware_vars` under [boot]: it is a file such as OVMF_VARS.fd.",
        )


def firmware_of(
    machine: MachineConfig, layout: MachineLayout, provider: Provider
) -> Firmware | None:
    """UEFI for the machine, its variables in its own folder; None where it boots otherwise.

    Looks for those of the host. ``code`` is None where there is none, which the provider tells.
    """
    if machine.boot.mode is not BootMode.UEFI:
        return None
    found = _files(machine, provider)
    keeps = found.vars is not None or layout.firmware_vars.exists()
    return Firmware(code=found.code, vars=layout.firmware_vars if keeps else None)


def loader_of(machine: MachineConfig, layout: MachineLayout) -> FbsdLoader | None:
    if machine.boot.mode is not BootMode.FBSD:
        return None
    return FbsdLoader(userboot=machine.boot.userboot, volume=layout.disk)


def make_vars(machine: MachineConfig, layout: MachineLayout, provider: Provider, *, op: Op) -> None:
    """Give the machine variables of its own, once. Raises HostError."""
    from vagrantish.files import host_errors, write_atomic

    if machine.boot.mode is not BootMode.UEFI:
        return
    template = _files(machine, provider).vars
    if template is None:
        return
    with host_errors(f"read {template}"):
        fresh = template.read_bytes()
    target = layout.firmware_vars
    if target.exists():
        with host_errors(f"look at {target}"):
            if target.stat().st_size == len(fresh):
                return
            # Of another UEFI, to which these would be noise.
            os.replace(target, target.with_name(f"{target.name}.1"))
        op.warn(
            "the UEFI of this computer has variables of another size than the machine's own: "
            "they begin anew, as on a disk put into another computer"
        )
    write_atomic(target, fresh, mode=0o600)


def _files(machine: MachineConfig, provider: Provider) -> Firmware:
    """Code and the template of variables, as the user names them, else as the host has them."""
    boot = machine.boot
    program = machine.qemu.binary
    if boot.firmware is None:
        found = firmware.find(provider.name, program)
        return Firmware(code=found.code, vars=boot.firmware_vars or found.vars)
    template = boot.firmware_vars or firmware.template_beside(boot.firmware, program)
    return Firmware(code=boot.firmware, vars=template)
