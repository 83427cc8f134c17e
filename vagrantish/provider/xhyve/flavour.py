"""Which of its kinds an xhyve is, from what it prints. Pure."""

from __future__ import annotations

import re
from enum import StrEnum

_VERSION = re.compile(r"^(xhyve|hyperkit): v?(\d[\w.+-]*)", re.MULTILINE)
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
    """None when it is neither of them; -h lists what the program takes (xhyve src/xhyve.c:861)."""
    found = _VERSION.search(version_text)
    if found is None:
        return None
    if found[1] == "hyperkit" or "docker/hyperkit" in version_text:
        return Flavour.HYPERKIT
    flags = _FLAGS.search(help_text)
    return Flavour.HEAD if flags is not None and "M" in flags[1] else Flavour.OLD
