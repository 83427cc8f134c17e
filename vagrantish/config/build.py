"""From one machine's settings, found to be right, to the value the rest of vx works with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vagrantish.config.cloud_init import cloud_init_of
from vagrantish.config.steps import step_of
from vagrantish.model import (
    BhyveOptions,
    BootConfig,
    BootMode,
    BoxParts,
    Forward,
    MachineConfig,
    QemuOptions,
    SSHConfig,
    VfkitOptions,
    XhyveOptions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vagrantish.config.names import MachineName
    from vagrantish.config.paths import ProjectFiles
    from vagrantish.config.resolve import Branch
    from vagrantish.model import BoxRef


def machine_config(
    machine: MachineName,
    settings: Branch,
    *,
    box: BoxRef | BoxParts,
    steps: Sequence[tuple[str, Branch]],
    needs: tuple[str, ...],
    files: ProjectFiles,
    context: Mapping[str, Any],
) -> MachineConfig:
    boot, ssh, qemu, vfkit, bhyve = (
        settings.branches[name] for name in ("boot", "ssh", "qemu", "vfkit", "bhyve")
    )
    return MachineConfig(
        name=machine.name,
        index=machine.index,
        box=replace(box, boot=BootMode(boot["mode"])) if isinstance(box, BoxParts) else box,
        providers=settings["provider"],
        cpus=settings["cpus"],
        memory_bytes=settings["memory"],
        disk_bytes=settings["disk"],
        hostname=settings["hostname"],
        message=settings["message"],
        boot=_boot(boot, files),
        halt_timeout_s=settings.branches["halt"]["timeout"],
        ssh=SSHConfig(
            user=ssh["user"],
            port=ssh["port"],
            guest_port=ssh["guest_port"],
            forward_agent=ssh["forward_agent"],
            extra_keys=ssh["extra_keys"],
            key=_path(ssh["key"], files),
            host_key=ssh["host_key"],
            connect_timeout_s=ssh["connect_timeout"],
        ),
        forwards=tuple(
            Forward(
                guest=forward["guest"],
                host=forward["host"],
                host_ip=forward["host_ip"],
                proto=forward["proto"],
                auto=forward["auto"],
            )
            for forward in settings.lists["forward"]
        ),
        steps=tuple(step_of(name, entry, files) for name, entry in steps),
        cloud_init=cloud_init_of(settings.branches["cloud_init"], files),
        qemu=QemuOptions(
            binary=qemu["binary"],
            accel=qemu["accel"],
            cpu=qemu["cpu"],
            machine=qemu["machine"],
            extra_args=qemu["extra_args"],
        ),
        xhyve=_xhyve(settings.branches["xhyve"]),
        hyperkit=_xhyve(settings.branches["hyperkit"]),
        vfkit=VfkitOptions(
            binary=vfkit["binary"], leases=vfkit["leases"], extra_args=vfkit["extra_args"]
        ),
        bhyve=BhyveOptions(
            binary=bhyve["binary"],
            root=bhyve["root"],
            bridge=bhyve["bridge"],
            leases=bhyve["leases"],
            extra_args=bhyve["extra_args"],
        ),
        primary=machine.primary,
        autostart=machine.autostart,
        needs=needs,
        context=context,
    )


def _boot(table: Branch, files: ProjectFiles) -> BootConfig:
    return BootConfig(
        cmdline=table["cmdline"],
        timeout_s=table["timeout"],
        stall_s=table["stall"],
        kernel=table["kernel"],
        mode=BootMode(table["mode"]),
        firmware=_path(table["firmware"], files),
        firmware_vars=_path(table["firmware_vars"], files),
        userboot=_path(table["userboot"], files),
    )


def _path(text: str | None, files: ProjectFiles) -> Path | None:
    return None if text is None else files.path(text)


def _xhyve(table: Branch) -> XhyveOptions:
    return XhyveOptions(
        binary=table["binary"],
        root=table["root"],
        leases=table["leases"],
        extra_args=table["extra_args"],
    )
