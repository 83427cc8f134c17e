"""Which hypervisor runs a machine, and what it must know of its host before the first start."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vagrantish.errors import MachineError
from vagrantish.provider.base import AsksForRoot, LearnsMac, UuidRefused
from vagrantish.provider.registry import AUTO, check_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.machine.record import Record
    from vagrantish.model import MachineConfig, VmSpec
    from vagrantish.provider.base import HostFacts, Provider

# vmnet refuses some UUIDs for good; one in twenty was reported.
_UUIDS_TRIED = 4


@dataclass(frozen=True, kw_only=True)
class Hypervisor:
    """A provider and what probing found for it."""

    provider: Provider
    host: HostFacts


def probe(
    services: Services, machine: MachineConfig, record: Record | None, *, op: Op
) -> Hypervisor:
    """Choose the provider and look at what it can use here. Raises ProviderError, MachineError."""
    op = op.on(machine.name)
    provider = provider_of(services, machine, record, op=op)
    host = provider.probe(getattr(machine, provider.name), op=op)
    return Hypervisor(provider=provider, host=host)


def provider_of(
    services: Services, machine: MachineConfig, record: Record | None, *, op: Op
) -> Provider:
    """The one a machine was made with, as long as its settings allow that; else the best here."""
    for name in machine.providers:
        check_name(name)
    if record is not None and may_stay(machine, record):
        return services.provider(record.provider)
    choice = services.choose_provider(machine)
    name = choice.provider.name
    if record is None:
        if choice.better:
            op.note(f"{name} is used: {choice.better}")
        elif choice.why and name != "qemu":
            op.note(f"{name} is used: {choice.why}")
        return choice.provider
    if services.machines.layout(record).disk.exists():
        raise MachineError(
            f"machine {record.name} was made with {record.provider}, and its disk is in a format "
            f"of that; now {name} is asked for",
            hint=f"Keep `--provider {record.provider}`, or `vx destroy {record.name}` and `vx up` "
            f"to make it anew with {name}.",
        )
    return choice.provider


def may_stay(machine: MachineConfig, record: Record) -> bool:
    """Whether the settings allow the provider it has."""
    return bool({AUTO, record.provider} & {*(machine.providers or (AUTO,))})


def authorize(chosen: Iterable[Hypervisor], *, op: Op) -> None:
    """Have the user asked for a password that is needed, once, before anything begins."""
    for hypervisor in chosen:
        if isinstance(hypervisor.provider, AsksForRoot):
            hypervisor.provider.authorize_start(hypervisor.host, op=op)


def new_mac(provider: Provider, unique: uuid.UUID) -> str:
    """A locally administered unicast address in QEMU's customary 52:54:00 range.

    "" where the host picks it.
    """
    if provider.capabilities.mac_from_host:
        return ""
    return "52:54:00:" + ":".join(f"{octet:02x}" for octet in unique.bytes[-3:])


def belong_to(record: Record, provider: Provider) -> None:
    """Have the machine run by ``provider`` from now on; the caller saves the record."""
    if record.provider != provider.name:
        record.provider = provider.name
        record.mac = new_mac(provider, uuid.UUID(record.uuid))


def settle_mac(
    services: Services, record: Record, hypervisor: Hypervisor, vm: VmSpec, *, op: Op
) -> None:
    """Have the record know the MAC its host gives it; it stays "" where that cannot be known.

    A machine that never ran may get another UUID, where the host has no network for its first.
    Raises UuidRefused, ProviderError.
    """
    provider = hypervisor.provider
    if record.mac or not isinstance(provider, LearnsMac):
        return
    for left in reversed(range(_UUIDS_TRIED)):
        try:
            record.mac = provider.learn_mac(vm, hypervisor.host, op=op)
            break
        except UuidRefused:
            if record.started_with or not left:
                raise
            record.uuid = str(uuid.uuid4())
            vm = replace(vm, uuid=record.uuid)
    services.machines.save(record)
