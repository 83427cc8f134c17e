"""Files of this computer that settings name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vagrantish.config.problems import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PATH_MAX = 300


class ProjectFiles:
    """Finds them from the project's folder; ``~`` is the user's home."""

    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self._root = root
        self._home = env.get("HOME", "")

    def path(self, text: str) -> Path:
        """Absolute; nothing is looked up."""
        if text.startswith("~/") and self._home:
            text = f"{self._home}{text[1:]}"
        return self._root / text

    def complaint(self, text: str, *, folder: bool = False) -> str:
        """Why the file, or with ``folder`` the file or folder, cannot be used; empty when it can."""
        path = self.path(text)
        named = quoted(str(path), _PATH_MAX)
        try:
            usable = path.is_file() or (folder and path.is_dir())
            exists = usable or os.path.lexists(path)
            readable = usable and os.access(path, os.R_OK)
        except (OSError, ValueError) as error:
            return f"cannot be looked up: {quoted(str(error), _PATH_MAX)}"
        if readable:
            return ""
        if usable:
            return f"is not readable: {named}"
        if exists:
            return f"is not {'a file or folder' if folder else 'a file'}: {named}"
        return f"does not exist: {named}"
