"""What the environment asks the double to be: FAKE_XHYVE_*."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fakes.hyve.model import Flavour

if TYPE_CHECKING:
    from collections.abc import Mapping

FAILURES = {
    "no-device", "hv-error", "hv-denied", "hv-busy", "ctlreg", "vmnet", "killed9", "exit33", "triple",
    "no-lease", "late-lease", "dup-lease", "duid",
}  # fmt: skip


class BadPersonality(ValueError):
    """A FAKE_XHYVE_* variable has a value that means nothing."""


@dataclass(frozen=True, kw_only=True)
class Personality:
    flavour: Flavour
    state: Path
    leases: Path
    root: bool
    net: str  # "user", "none", "tap:BRIDGE"
    accel: str  # "tcg", "kvm"
    failures: tuple[str, ...]  # without what follows "="
    late_lease_s: float
    qemu: str
    qemu_args: tuple[str, ...]
    script: str | None  # of a guest that is only acted; None: a real one


def personality_of(environ: Mapping[str, str], *, euid: int, prog: str) -> Personality:
    def value(name: str, default: str) -> str:
        return environ.get(f"FAKE_XHYVE_{name}") or default

    state = Path(
        value("STATE", f"{environ.get('TMPDIR', '/tmp').rstrip('/')}/fake-xhyve-{os.getuid()}")
    )
    failures = [word for word in value("FAIL", "").split(",") if word]
    late = [word.partition("=")[2] for word in failures if word.startswith("late-lease=")]
    kinds = tuple(word.partition("=")[0] for word in failures)
    if unknown := set(kinds) - FAILURES:
        raise BadPersonality(f"FAKE_XHYVE_FAIL: no such failure: {', '.join(sorted(unknown))}")
    try:
        flavour = Flavour(value("FLAVOUR", _flavour_of(prog)))
        late_s = float(late[-1]) if late else 0.0
    except ValueError as error:
        raise BadPersonality(f"FAKE_XHYVE_*: {error}") from error
    boot = value("BOOT", "1")
    return Personality(
        flavour=flavour,
        state=state,
        leases=Path(value("LEASES", str(state / "dhcpd_leases"))),
        root={"1": True, "0": False}.get(value("ROOT", ""), euid == 0),
        net=value("NET", "user"),
        accel=value("ACCEL", "tcg"),
        failures=kinds,
        late_lease_s=late_s,
        qemu=value("QEMU", "qemu-system-x86_64"),
        qemu_args=tuple(shlex.split(value("QEMU_ARGS", ""))),
        script=None if boot == "1" else value("SCRIPT", "") if boot == "0" else boot,
    )


def _flavour_of(prog: str) -> Flavour:
    return Flavour.HYPERKIT if prog.rpartition("/")[2] == "hyperkit" else Flavour.HEAD
