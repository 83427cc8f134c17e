"""Finds xhyve or hyperkit, and what it may do on this host. Thin: texts are read by pure functions."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import sys
from typing import TYPE_CHECKING

from vagrantish.errors import HostError, ProviderError
from vagrantish.provider import child, install
from vagrantish.provider.base import HostFacts
from vagrantish.provider.xhyve.flavour import flavour_of, version_of
from vagrantish.provider.xhyve.privilege import (
    Facts,
    is_named_in,
    privilege_of,
    refusal,
    signature_problem,
)

if TYPE_CHECKING:
    from vagrantish.events import Op
    from vagrantish.model import XhyveOptions

_ASK_S = 5.0


def find_program(name: str, binary: str | None) -> str:
    """Absolute path. Raises HostError."""
    wanted = os.path.expanduser(binary or name)
    found = shutil.which(wanted)
    if found is not None:
        return os.path.abspath(found)
    if binary is None:
        raise HostError(f"{name} is not installed: it is not on PATH", hint=install.hint(name))
    what = "is not there"
    if os.path.exists(wanted):
        what = "cannot be run: it is a folder, or not marked executable"
    raise HostError(
        f"the {name} named under [{name}], {binary}, {what}",
        hint=f"Correct `binary`, or take it out to use the {name} on PATH.",
    )


def probe(name: str, options: XhyveOptions, *, op: Op) -> HostFacts:
    """Raises HostError when it is missing, ProviderError when it cannot be used, Cancelled."""
    program = find_program(name, options.binary)
    lacking = host_lacks()
    if lacking:
        raise ProviderError(
            f"{name} cannot run here: {lacking}", hint='Use `provider = "vfkit"` or "qemu".'
        )
    helped = child.run((program, "-h"), timeout_s=_ASK_S, cancel=op.cancel)
    told = helped
    if helped.status is not None:  # one that hangs is not asked twice
        told = child.run((program, "-v"), timeout_s=_ASK_S, cancel=op.cancel)
    flavour = flavour_of(helped.output, told.output)
    if flavour is None:
        raise ProviderError(
            f"{program} is not a working {name}: {_said(told)}",
            hint=f"Correct `binary` under [{name}], or install it again. {install.hint(name)}",
        )
    facts = facts_of(program, is_named=program != _on_path(name))
    privilege = privilege_of(facts, options.root)
    if privilege is None:
        message, hint = refusal(facts, options.root, name=name, program=program, user=user())
        raise ProviderError(message, hint=hint)
    return HostFacts(
        program=program,
        version=version_of(told.output),
        accel=name,
        flavour=flavour,
        privilege=privilege,
        unsigned=signature_problem(facts.entitlements, _macos(), name=name),
    )


def host_lacks() -> str:
    """Why no program of this kind can run on this Mac, in a clause; "" where it may."""
    if sys.platform != "darwin":
        return ""
    if os.uname().machine == "arm64" or _sysctl("sysctl.proc_translated") == "1":
        return "it is made for Intel processors, and this Mac has an Apple one"
    if _sysctl("kern.hv_support") == "0":
        return "this Mac's processor cannot do virtual machines, or is itself a virtual one"
    return ""


def facts_of(program: str, *, is_named: bool) -> Facts:
    """``is_named``: settings name it, and it is not the one on PATH."""
    with_sudo = shutil.which("sudo") is not None
    try:
        found = os.stat(program)
        is_setuid = found.st_uid == 0 and bool(found.st_mode & stat.S_ISUID)
    except OSError:
        is_setuid = False
    is_root = os.geteuid() == 0
    entitlements = _entitlements(program)
    needs_sudo = with_sudo and not is_root
    return Facts(
        is_root=is_root,
        is_setuid=is_setuid,
        entitlements=entitlements,
        has_sudo=with_sudo,
        sudo_is_free=needs_sudo and sudo_is_free(program, is_named=is_named),
        is_named=is_named,
    )


def sudo_is_free(program: str, *, is_named: bool) -> bool:
    """Whether sudo runs ``program`` without a password, whatever it remembers (-k).

    That is tried; one that only settings name is not, unless a rule names it too.
    """
    if is_named:
        listing = child.run(("sudo", "-k", "-n", "-l"), timeout_s=_ASK_S).output
        if not is_named_in(listing, program):
            return False
    finished = child.run(("sudo", "-k", "-n", program, "-v"), timeout_s=_ASK_S)
    return finished.status == 0


def _macos() -> tuple[int, ...]:
    release = platform.mac_ver()[0]
    return tuple(int(part) for part in release.split(".") if part.isdigit())


def _on_path(name: str) -> str:
    found = shutil.which(name)
    return os.path.abspath(found) if found is not None else ""


def user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"#{os.getuid()}"


def _entitlements(program: str) -> str:
    if sys.platform != "darwin":
        return ""
    argv = ("/usr/bin/codesign", "-d", "--entitlements", "-", program)
    try:
        return child.run(argv, timeout_s=_ASK_S).output
    except HostError:
        return ""


def _sysctl(name: str) -> str:
    try:
        return child.run(("/usr/sbin/sysctl", "-n", name), timeout_s=_ASK_S).output.strip()
    except HostError:
        return ""


def _said(finished: child.Finished) -> str:
    if finished.status is None:
        return f"asked for its version, it did not answer within {_ASK_S:g} s"
    first = finished.output.partition("\n")[0][:100]
    return f'it answered "{first}"' if first else f"it ended with status {finished.status}"
