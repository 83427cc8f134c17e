"""How xhyve gets the root that vmnet wants. Pure."""

from __future__ import annotations

from dataclasses import dataclass

NONE, SETUID, ENTITLED, SUDO, TICKET = "", "setuid", "entitled", "sudo", "sudo-ticket"
NETWORKING = "com.apple.vm.networking"


@dataclass(frozen=True, kw_only=True)
class Facts:
    is_root: bool  # this user is
    is_setuid: bool  # the program is root's and set-uid
    entitlements: str  # as codesign prints them
    has_sudo: bool
    sudo_is_free: bool  # for this program sudo never asks for a password


def privilege_of(facts: Facts, root: str) -> str | None:
    """One of the words above; None where there is no way. ``root`` is the user's setting."""
    if facts.is_root:
        return NONE
    if facts.is_setuid:
        return SETUID
    if NETWORKING in facts.entitlements:
        return ENTITLED
    if root == "never" or not facts.has_sudo:
        return None
    return SUDO if facts.sudo_is_free else TICKET


def command(argv: tuple[str, ...], privilege: str) -> tuple[str, ...]:
    """``argv`` with what makes it root's."""
    return ("sudo", "-n", *argv) if privilege in (SUDO, TICKET) else argv
