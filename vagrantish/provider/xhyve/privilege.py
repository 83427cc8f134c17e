"""How xhyve gets the root that vmnet wants. Pure."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

NONE, SETUID, ENTITLED, SUDO, TICKET = "", "setuid", "entitled", "sudo", "sudo-ticket"
NETWORKING = "com.apple.vm.networking"
HYPERVISOR = "com.apple.security.hypervisor"
KILL = "/bin/kill"  # where macOS has it

# In sudoers a path has escapes for these alone, and is a pattern with those (its plugin's toke.l).
_PATH_ESCAPED = re.compile(r"([ ,:=#])")
_PATH_PATTERN = re.compile(r"[*?\[\\\n\t]")
_USER_ESCAPED = re.compile(r"([^\w.-])")
_ALIAS = re.compile(r"[A-Z][A-Z0-9_]*")
_RULE = re.compile(r"^ {2,}\([^)]*\) (.+)$", re.MULTILINE)
_BETWEEN = re.compile(r"(?<!\\), ")
_TAGS = re.compile(r"(?:[A-Z_]+: )*")


@dataclass(frozen=True, kw_only=True)
class Facts:
    is_root: bool  # this user is
    is_setuid: bool  # the program is root's and set-uid
    entitlements: str  # as codesign prints them
    has_sudo: bool
    sudo_is_free: bool  # for this program sudo never asks for a password
    # The program is one that settings name, not the one on PATH. A stranger may have written them,
    # so sudo runs it only where a rule names it: no password is asked for or remembered.
    is_named: bool = False


def privilege_of(facts: Facts, root: str) -> str | None:
    """One of the words above; None where there is no way. ``root`` is the user's setting."""
    if facts.is_root:
        return NONE
    by_itself = root != "sudo"
    if facts.is_setuid and by_itself:
        return SETUID
    if NETWORKING in facts.entitlements and by_itself:
        return ENTITLED
    if root == "never" or not facts.has_sudo:
        return None
    if facts.sudo_is_free:
        return SUDO
    return None if facts.is_named else TICKET


def command(argv: tuple[str, ...], privilege: str) -> tuple[str, ...]:
    """``argv`` with what makes it root's."""
    return ("sudo", "-n", *argv) if privilege in (SUDO, TICKET) else argv


def refusal(facts: Facts, root: str, *, name: str, program: str, user: str) -> tuple[str, str]:
    """Why there is no privilege, and the ways to it."""
    if root == "never":
        why = f'`root = "never"` under [{name}] keeps it from sudo'
    elif facts.is_named and facts.has_sudo:
        why = f"sudo runs a program that settings name only by a rule of its own for {program}"
    else:
        why = "there is no sudo on this host"
    hint = ways(user, program)
    if facts.is_named:
        hint = f"If you do not know that program, take `binary` out of [{name}]. Else: {hint}"
    return f"{name} needs root for its guest's network, and {why}", hint


def ways(user: str, program: str) -> str:
    """The three ways to root, the best first.

    Set-uid, xhyve gives root up once its network card is there, and opens disks and kernel as its
    user; under sudo it stays root's to its end (xhyve src/pci_virtio_net_vmnet.c:206-218).
    """
    line = sudoers_line(user, program)
    by_sudo = f"or, root to its end, by `sudo visudo -f /etc/sudoers.d/vx` with `{line}`"
    found = [
        f"Best, as it gives root up itself: `{setuid_commands(program)}`, after each upgrade anew",
        *([by_sudo] if line else []),
        f"or a build signed with the entitlement {NETWORKING}, which Apple gives out",
    ]
    return f"{'; '.join(found)}."


def setuid_commands(program: str) -> str:
    """Only administrators may run it then: one run without a network card stays root's."""
    path = shlex.quote(program)
    return f"sudo chown root:admin {path} && sudo chmod 4750 {path}"


def signature_problem(entitlements: str, macos: tuple[int, ...], *, name: str) -> str:
    """What macOS has against running guests by a program that is signed so; "" for nothing.

    ``entitlements`` is what codesign printed of them, ``macos`` the system's version, () elsewhere.
    """
    if macos[:1] < (11,) or HYPERVISOR in entitlements:
        return ""
    return f"{name} is not signed with {HYPERVISOR}, and without it macOS 11 and later run no guest"


def sudoers_line(user: str, program: str, kill: str = KILL) -> str:
    """The rule by which sudo starts and ends it without a password.

    "" where no rule can name just that path. Whoever may write the program or its folder is root
    by it.
    """
    if _PATH_PATTERN.search(program) or _PATH_PATTERN.search(kill):
        return ""
    paths = [_PATH_ESCAPED.sub(r"\\\1", path) for path in (program, kill)]
    name = _USER_ESCAPED.sub(r"\\\1", user)
    if _ALIAS.fullmatch(user):
        name = f"\\{user}"
    return f"{name} ALL=(root) NOPASSWD: {', '.join(paths)}"


def is_named_in(listing: str, program: str) -> bool:
    """Whether one of the rules that ``sudo -l`` lists is for just that program, without a password.

    One for every program, or for a pattern, is not.
    """
    for rule in _RULE.findall(listing):
        is_free = False
        for entry in _BETWEEN.split(rule):
            tags = _TAGS.match(entry)
            assert tags is not None
            if "PASSWD:" in tags[0]:
                is_free = "NOPASSWD:" in tags[0]
            path = entry[tags.end() :]
            if is_free and path == _PATH_ESCAPED.sub(r"\\\1", program):
                return not _PATH_PATTERN.search(program)
    return False
