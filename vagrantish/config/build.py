"""From one machine's settings, found to be right, to the value the rest of vx works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vagrantish.config.cloud_init import cloud_init_of
from vagrantish.config.steps import step_of
from vagrantish.model import (
    BhyveOptions,
    BootConfig,
    Forward,
    MachineConfig,
    QemuOptions,
    SSHConfig,
    VfkitOptions,
    XhyveOptions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vagrantish.config.names import MachineName
    from vagrantish.config.paths import ProjectFiles
    from vagrantish.config.resolve import Branch
    from vagrantish.model import BoxParts, BoxRef


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
        box=box,
        providers=settings["provider"],
        cpus=settings["cpus"],
        memory_bytes=settings["memory"],
        disk_bytes=settings["disk"],
        hostname=settings["hostname"],
        message=settings["message"],
        boot=BootConfig(
            cmdline=boot["cmdline"],
            timeout_s=boot["timeout"],
            stall_s=boot["stall"],
            kernel=boot["kernel"],
        ),
        halt_timeout_s=settings.branches["halt"]["timeout"],
        ssh=SSHConfig(
            user=ssh["user"],
            port=ssh["port"],
            forward_agent=ssh["forward_agent"],
            extra_keys=ssh["extra_keys"],
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


def _xhyve(table: Branch) -> XhyveOptions:
    return XhyveOptions(
        binary=table["binary"],
        root=table["root"],
        leases=table["leases"],
        extra_args=table["extra_args"],
    )
