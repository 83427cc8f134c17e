"""The hypervisors: which are here, what they can, and what the project's machines need."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vagrantish.errors import ProviderError
from vagrantish.lifecycle.doctor.finding import Finding, Level, ok
from vagrantish.model import BhyveOptions, QemuOptions, VfkitOptions, XhyveOptions
from vagrantish.provider import install
from vagrantish.provider.choice import FALLBACK, suited, this_host
from vagrantish.provider.registry import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.model import MachineConfig, Project
    from vagrantish.provider.base import HostFacts

NAMES = PROVIDERS
_DEFAULTS: Mapping[str, Any] = {
    "qemu": QemuOptions(),
    "xhyve": XhyveOptions(),
    "hyperkit": XhyveOptions(),
    "vfkit": VfkitOptions(),
    "bhyve": BhyveOptions(),
}
_LEASES = "/var/db/dhcpd_leases"
_ON_VMNET = ("xhyve", "hyperkit", "vfkit")


def findings(
    services: Services, project: Project | None, name: str, *, op: Op
) -> Iterator[Finding]:
    """Of one provider; nothing of those that no machine here uses and no such host has."""
    users = _users(services, project, name)
    provider = services.provider(name)
    options = _options(project, name)
    lacking = provider.missing(options)
    is_natural = name in (FALLBACK, suited(this_host())[0])
    if lacking:
        if users or is_natural:
            yield Finding(
                id=f"{name}.program",
                level=Level.ERROR if users else Level.NOTE,
                text=lacking + (f"; wanted by {', '.join(users)}" if users else ""),
                hint=install.hint(name),
            )
        return
    try:
        host = provider.probe(options, op=op)
    except ProviderError as error:
        yield Finding(
            id=f"{name}.program",
            level=Level.ERROR if users else Level.WARNING,
            text=error.message,
            hint=error.hint,
        )
        return
    kind = f" ({host.flavour})" if host.flavour and host.flavour != name else ""
    yield ok(f"{name}.program", f"{host.program}, {host.version or 'of unknown version'}{kind}")
    yield from _qualities(name, host)


def _qualities(name: str, host: HostFacts) -> Iterator[Finding]:
    if name == FALLBACK:
        if host.accel == "tcg":
            yield Finding(
                id="qemu.acceleration",
                level=Level.WARNING,
                text="guests are emulated, which is some ten times slower: "
                + "; ".join(host.notes),
                hint="Let yourself use /dev/kvm (`sudo usermod -aG kvm $(id -un)`, then log in "
                "anew), or turn virtualization on in the firmware of this computer.",
            )
        else:
            yield ok("qemu.acceleration", host.accel)
        return
    for note in host.notes:
        yield Finding(id=f"{name}.host", level=Level.NOTE, text=note)
    if name in ("xhyve", "hyperkit"):
        yield _root(name, host)
    if host.unsigned:
        yield Finding(
            id=f"{name}.signature",
            level=Level.ERROR,
            text=host.unsigned,
            hint='Sign it yourself, as docs/xhyve.md shows under "Signing it"; a set-uid bit has '
            "to be given anew afterwards.",
        )
    if host.flavour == "v0.2.0":
        yield Finding(
            id=f"{name}.flavour",
            level=Level.WARNING,
            text="xhyve v0.2.0 crashes with kernels from 4.10 on, and with more than 3 GiB of "
            "memory",
            hint="`brew reinstall --HEAD xhyve` builds a newer one.",
        )


def _root(name: str, host: HostFacts) -> Finding:
    """How it becomes root for its guest's network."""
    from vagrantish.provider.xhyve import privilege
    from vagrantish.provider.xhyve.bootchecks import is_roots

    ways = {
        "": "vx itself runs as root",
        privilege.SETUID: "set-uid root; it gives that up once its network runs",
        privilege.ENTITLED: "signed with the entitlement for vmnet",
        privilege.SUDO: "sudo runs it without a password",
    }
    if host.privilege in ways:
        return ok(f"{name}.root", ways[host.privilege])
    rule = privilege.sudoers_line(getpass.getuser(), host.program)
    hint = (
        f"Best is `{privilege.setuid_commands(host.program)}`: it gives root up once the network "
        "runs. An update of it undoes that."
    )
    if rule:
        hint += f"\nOr a rule of sudo, made with `sudo visudo -f /etc/sudoers.d/vx`:\n{rule}"
        if not is_roots(Path(host.program)):
            hint += (
                "\nWith it, whatever you or your programs put in that place runs as root: "
                f"{host.program} and its folders are not root's alone."
            )
    return Finding(
        id=f"{name}.root",
        level=Level.WARNING,
        text=f"{name} needs root for its guests' network: sudo will ask for your password",
        hint=hint,
    )


def needs_leases(project: Project | None) -> bool:
    """Whether guests here get their addresses from macOS's DHCP server."""
    if suited(this_host())[0] in _ON_VMNET:
        return True
    return any(name in _ON_VMNET for machine in _machines(project) for name in machine.providers)


def leases_file(project: Project | None) -> Path:
    for machine in _machines(project):
        for name in machine.providers:
            if name in _ON_VMNET and (given := getattr(machine, name).leases):
                return Path(given).expanduser()
    return Path(_LEASES)


def _machines(project: Project | None) -> tuple[MachineConfig, ...]:
    return project.machines if project is not None else ()


def _options(project: Project | None, name: str) -> Any:
    """The first machine's: they seldom differ."""
    machine = next(iter(_machines(project)), None)
    return getattr(machine, name) if machine is not None else _DEFAULTS[name]


def _users(services: Services, project: Project | None, name: str) -> list[str]:
    """The machines here that this provider runs, or would."""
    users = []
    for machine in _machines(project):
        record = services.machines.find(project.root, machine.name) if project else None
        if record is not None:
            chosen = record.provider
        else:
            try:
                chosen = services.choose_provider(machine).provider.name
            except ProviderError:
                chosen = machine.providers[0]
        if chosen == name:
            users.append(machine.name)
    return users
