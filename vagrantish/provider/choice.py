"""Which hypervisor a machine gets, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vagrantish.errors import HostError, ProviderError
from vagrantish.provider import child, install
from vagrantish.provider.registry import AUTO, by_name, check_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.paths import VxHome
    from vagrantish.provider.base import Provider

FALLBACK = "qemu"
_SYSCTL = "/usr/sbin/sysctl"
_SYSCTL_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Host:
    """``arch`` is the processor's own, whatever this Python was made for."""

    system: str  # "linux", "darwin", "freebsd"
    arch: str  # "x86_64", "arm64", as uname has it


@dataclass(frozen=True, kw_only=True)
class Choice:
    provider: Provider
    why: str  # for people, one line; "" where the user named it
    better: str = ""  # which one would suit this host better, and how to get it


def this_host() -> Host:
    system = install.SYSTEM
    arch = os.uname().machine
    if system == "darwin" and arch == "x86_64" and _is_translated():
        arch = "arm64"
    return Host(system=system, arch=arch)


def suited(host: Host) -> tuple[str, str]:
    """The provider made for such a host, and why that one."""
    if host.system == "darwin":
        if host.arch == "arm64":
            return "vfkit", "this Mac has an Apple processor"
        return "xhyve", "this Mac has an Intel processor"
    if host.system == "freebsd":
        return "bhyve", "this is FreeBSD"
    return FALLBACK, "it runs on every host"


def choose(
    preferences: tuple[str, ...],
    options_of: Callable[[str], Any],
    *,
    home: VxHome,
    host: Host | None = None,
) -> Choice:
    """The first of ``preferences`` whose program is here; "auto" leaves it to the host.

    One that is named alone is taken as it is: probing it says what it lacks. ``options_of`` gives a
    provider's own table of the settings. Raises ProviderError for a wrong name, or when none of
    several is here.
    """
    names = preferences or (AUTO,)
    for name in names:
        check_name(name)
    if len(names) == 1 and names[0] != AUTO:
        return Choice(provider=by_name(names[0], home=home), why="")
    host = host or this_host()
    passed: list[str] = []
    for name in names:
        if name == AUTO:
            return _automatic(options_of, passed, home=home, host=host)
        provider = by_name(name, home=home)
        lacking = provider.missing(options_of(name))
        if not lacking:
            return Choice(provider=provider, why="; ".join(passed))
        passed.append(lacking)
    raise ProviderError(
        f"none of the providers {', '.join(names)} can be used here: {'; '.join(passed)}",
        hint=install.hint(names[0], host.system),
    )


def _automatic(
    options_of: Callable[[str], Any], passed: list[str], *, home: VxHome, host: Host
) -> Choice:
    name, reason = suited(host)
    provider = by_name(name, home=home)
    why = "; ".join([*passed, reason])
    if name == FALLBACK:
        return Choice(provider=provider, why=why)
    lacking = provider.missing(options_of(name))
    if not lacking:
        return Choice(provider=provider, why=why)
    better = f"{reason}, for which {name} is made, but {lacking}. {install.hint(name, host.system)}"
    fallback = by_name(FALLBACK, home=home)
    if fallback.missing(options_of(FALLBACK)):
        # Neither is here: what is told then is how to get the better one.
        return Choice(provider=provider, why=why)
    return Choice(provider=fallback, why=f"{name} is not here", better=better)


def _is_translated() -> bool:
    """Whether this Python runs under Rosetta."""
    try:
        answer = child.run((_SYSCTL, "-n", "sysctl.proc_translated"), timeout_s=_SYSCTL_S)
    except HostError:
        return False
    return answer.output.strip() == "1"
