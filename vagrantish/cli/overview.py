"""``vx --help``."""

from __future__ import annotations

from vagrantish import __version__
from vagrantish.cli.commands import GROUPS
from vagrantish.cli.parser import GLOBAL_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

EXIT_STATUSES = (
    ("0", "done"),
    ("1", "another failure"),
    ("2", "the command line is wrong"),
    ("3", "the Xhyvefile is wrong or missing"),
    ("4", "a box is missing, damaged or cannot be had"),
    ("5", "the hypervisor or this host fails"),
    ("6", "a machine is missing, halted or busy"),
    ("7", "a guest did not boot, or ssh failed"),
    ("8", "a provisioning step failed"),
    ("10", "changes are pending (up --plan, box outdated)"),
    ("70", "a bug in vx; what happened is in VX_HOME/bug.log"),
    ("130", "interrupted"),
)
ENVIRONMENT = (
    ("VX_HOME", "where vx keeps boxes and machines (default: ~/.vx)"),
    ("VX_PROVIDER", "the hypervisor to use, whatever the Xhyvefile says"),
    ("VX_OFFLINE", "1: use no network"),
    ("VX_JOBS", "machines handled at a time"),
    ("VX_LOG", "debug, info, warning or error: log for people who work on vx"),
    ("NO_COLOR, FORCE_COLOR", "as everywhere; --color is stronger"),
)


def overview() -> str:
    parts = [
        f"vx {__version__}: light virtual machines described by one file per project",
        "usage: vx [OPTIONS] COMMAND [ARGUMENTS]\n       vx help COMMAND",
    ]
    for title, group in GROUPS:
        parts.append(_section(title, ((name, summary) for name, (_, summary) in group.items())))
    parts += [
        _section("Options, before or after the command", _options()),
        _section("Exit status", EXIT_STATUSES),
        _section("Environment", ENVIRONMENT),
        "`vx ssh -c CMD` exits with the status of CMD, and with 255 when the connection fails.",
        "To start: vx init && vx up && vx ssh",
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join([f"{title}:", *(f"  {name:<23} {text}" for name, text in rows)])


def _options() -> Iterable[tuple[str, str]]:
    for flags, how in GLOBAL_OPTIONS:
        value = f" {how['metavar']}" if "metavar" in how else ""
        yield ", ".join(flags) + value, how["help"]
