"""Texts of a definition with names in braces, ``{build}``, that each version fills in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# What every version knows of itself; ``words`` may say the first three in the publisher's way.
BUILT_IN = ("arch", "release", "major", "build", "name", "version", "console", "file", "extension")
OWN = BUILT_IN[:3]
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
# Nothing that could end a URL's path or climb out of it.
VALUE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}")
_PART = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")
_BRACE = re.compile(r"[{}]")


class TemplateError(ValueError):
    """Its text is fit for the user and goes on from the name of the setting."""

    def __init__(self, text: str, word: str = "") -> None:
        super().__init__(text)
        self.word = word  # the one nobody knows


def names_in(text: str) -> tuple[str, ...]:
    """Raises TemplateError for braces that hold no name."""
    if _BRACE.search(_PART.sub("", text)):
        raise TemplateError('has a brace that is no "{name}"')
    return tuple(_PART.findall(text))


def fill(text: str, words: Mapping[str, str]) -> str:
    """Raises TemplateError for a name that is not among ``words``."""
    for name in names_in(text):
        if name not in words:
            raise TemplateError(f'names "{{{name}}}", which has no value here', name)
    return text.format_map(words)
