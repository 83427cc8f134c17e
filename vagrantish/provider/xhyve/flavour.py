"""Which of its kinds an xhyve is, from what it prints. Pure."""

from __future__ import annotations

import re
from enum import StrEnum

# The word in front is the name of the program's file.
_VERSION = re.compile(r"^([^\n:]{1,100}): v?(\d[\w.+-]*|HEAD[\w.+-]*)$", re.MULTILINE)
_HYPERKIT = re.compile(r"\b(docker|moby)/hyperkit\b", re.IGNORECASE)
_XHYVE = re.compile(r"\b[bx]hyve\b", re.IGNORECASE)
_FLAGS = re.compile(r"\[-(\w+)\]")


class Flavour(StrEnum):
    HEAD = "head"
    OLD = "v0.2.0"  # the last release: it has neither -F nor -M
    HYPERKIT = "hyperkit"


def version_of(text: str) -> str:
    """Of what -v printed; "" when that is not theirs."""
    found = _VERSION.search(text)
    return found[2][:40] if found else ""


def flavour_of(help_text: str, version_text: str) -> Flavour | None:
    """None when it is neither of them; -h lists what the program takes (xhyve src/xhyve.c:861).

    hyperkit's -h tells nothing: it says where to look for more.
    """
    found = _VERSION.search(version_text)
    if found is None:
        return None
    if _HYPERKIT.search(version_text):
        return Flavour.HYPERKIT
    if not _XHYVE.search(version_text):
        return Flavour.HYPERKIT if found[1] == "hyperkit" else None
    flags = _FLAGS.search(help_text)
    return Flavour.HEAD if flags is not None and "M" in flags[1] else Flavour.OLD
