"""The kernel's command line with what xhyve's guests need on it. Pure."""

from __future__ import annotations

import re

# As the kernel splits it: at blanks outside of double quotes, which open and close anywhere
# (next_arg in lib/cmdline.c).
_WORD = re.compile(r'(?:"[^"]*(?:"|\Z)|[^ \t\n\v\f\r"])+')
_SERIAL = "console=ttyS0"
_TO_INIT = "--"  # what follows is the first program's, not the kernel's


def words_of(cmdline: str) -> list[str]:
    return _WORD.findall(cmdline)


def for_kernel(words: list[str]) -> list[str]:
    return words[: words.index(_TO_INIT)] if _TO_INIT in words else words


def complete(cmdline: str) -> str:
    """With the serial console last of the consoles, as /dev/console is the last one, and panic=1.

    A guest that panics reboots then, and its process ends (xhyve src/pm.c:69); else it would spin
    for ever. A ``panic=`` that is there stays.
    """
    words = words_of(cmdline)
    own = for_kernel(words)
    rest = words[len(own) :]
    at = [index for index, word in enumerate(own) if _is(word, "console=")]
    serial = next((own[index] for index in reversed(at) if _is(own[index], _SERIAL)), _SERIAL)
    # Behind the last console, as there it is outside of a quote that never ends.
    place = at[-1] + 1 if at else 0
    added = [] if at and own[at[-1]] == serial else [serial]
    if not any(_is(word, "panic=") for word in own):
        added.append("panic=1")
    own = [*own[:place], *added, *own[place:]]
    if serial in added:
        moved = [index for index in at if own[index] == serial]
        own = [word for index, word in enumerate(own) if index not in moved]
    return " ".join((*own, *rest))


def _is(word: str, start: str) -> bool:
    """A console's word goes on with its speed: console=ttyS0,115200."""
    bare = word.removeprefix('"')
    if start != _SERIAL:
        return bare.startswith(start)
    return bare.rstrip('"') == _SERIAL or bare.startswith(f"{_SERIAL},")
